//! What turns a prompt into vectors.

mod clip;
mod qwen3;
mod special_tokens;
mod t5;
mod t5_tokenizer;
mod tokenizer;

pub use clip::{ClipStates, ClipTextEncoder};
pub use qwen3::{PROMPT_TOKENS, PromptStyle, Qwen3Encoder};
pub use t5::T5Encoder;
pub use t5_tokenizer::T5Tokenizer;
pub use tokenizer::PromptTokenizer;
