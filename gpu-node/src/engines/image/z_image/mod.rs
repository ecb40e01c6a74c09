//! Z-Image (Tongyi-MAI), from the folder layout of the diffusers library.

mod block;
mod config;
mod model;
mod transformer;

pub use model::{GuidedCaption, ZImage};
pub use transformer::{Caption, Transformer};
