//! What turns a prompt into vectors.

mod t5;
mod t5_tokenizer;

pub use t5::T5Encoder;
pub use t5_tokenizer::T5Tokenizer;
