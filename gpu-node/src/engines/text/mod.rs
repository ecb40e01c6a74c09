//! Text models: one decoder for the Llama, Mistral and Qwen families, batched over a paged cache.
//!
//! `files` finds what a folder has, `decoder` computes, `gguf` and `quantised` read and multiply compressed weights, `vocabulary` turns text into
//! tokens and back, `sampling` and `grammar` choose the next token, `batching` decides what runs in each step.

pub mod batching;
pub mod config;
pub mod decoder;
pub mod files;
pub mod gguf;
pub mod grammar;
pub(crate) mod kernels;
pub mod model;
pub mod quantised;
pub mod request;
pub mod sampling;
pub mod speculation;
pub mod tool_calls;
pub mod vocabulary;
pub mod weights;

/// Changes whenever the same request and seed may give another answer.
pub const TEXT_ENGINE_VERSION: &str = "text-1";
