//! GGUF files: what llama.cpp keeps a model in. <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>
//!
//! `header` reads what a file says about itself, `file` finds its tensors, `config` the decoder's shape, `vocabulary`
//! its tokens, and `source` hands the weights to a decoder under the names of the Hugging Face checkpoints.

mod config;
mod file;
mod header;
mod names;
mod source;
#[cfg(test)]
pub(super) mod test_file;
#[cfg(test)]
mod tests;
mod vocabulary;

pub use file::GgufFile;
pub use header::Value;
