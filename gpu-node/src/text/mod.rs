//! Text as callers know it, free of HTTP: an order goes in, an answer comes back in pieces.
//!
//! Between the doors (`http/openai`, `cli`) and the lanes stands what a model's vocabulary knows: the prompt is rendered
//! and cut into tokens here, and what the model writes is told apart here into text, thoughts and tool calls.

mod answer;
mod embedding;
mod language;
mod order;
mod runner;
mod service;
mod thoughts;
mod words;

pub use answer::{AnswerEvent, EndReason, OpenAnswers, TextAnswer};
pub use embedding::{EmbeddingOrder, EmbeddingRun, EmbeddingRunner, Embeddings, embed};
pub use language::{
    AnswerPart, ChatTokens, Language, LanguageError, Lazy, LazyLanguage, LazyVocabulary, Load,
    ReadAnswer, Tokenize,
};
pub use order::{ChatOrder, CompletionOrder, Generation, Prompt, SamplingWishes, Tool, ToolChoice};
pub use runner::{RunEvent, TextRun, TextRunner};
pub use service::{Prepared, prepare_chat, prepare_completion, start_chat, start_completion};
pub use words::{EmbeddingVocabulary, ModelLanguage};
