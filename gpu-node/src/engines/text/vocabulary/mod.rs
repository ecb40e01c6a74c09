//! Text to tokens and back, from the files a model ships: `tokenizer.json` or a GGUF header, and its chat template.
//!
//! What a user writes never becomes a control token: `<|im_start|>` inside a message is read as those characters.

mod files;
mod gguf;
mod pieces;
mod prompt;
mod python_json;
mod stop;
mod strftime;
mod template;
mod template_functions;
mod token_stream;
#[expect(clippy::module_inception, reason = "the folder is named after its main type")]
mod vocabulary;

pub use gguf::GgufVocabulary;
pub use prompt::ChatPrompt;
pub use stop::StopMatcher;
pub use template::{ChatRequest, ChatTemplate};
pub use token_stream::TokenStream;
pub use vocabulary::Vocabulary;

#[cfg(test)]
mod golden_tests;
