//! Stable Diffusion 3 and 3.5, from the folder layout of the diffusers library.

mod block;
mod model;
mod transformer;

pub use model::{GuidedWords, StableDiffusion3};
pub use transformer::{Sd3Transformer, Words};
