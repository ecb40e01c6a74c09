//! FLUX.1, from the folder layout of the diffusers library.

mod blocks;
mod transformer;

pub use transformer::{FluxTransformer, FluxWords};
