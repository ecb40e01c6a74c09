//! Z-Image (Tongyi-MAI), from the folder layout of the diffusers library: <https://arxiv.org/abs/2511.22699>.

mod block;
mod config;
mod transformer;

pub use transformer::{Caption, Transformer};
