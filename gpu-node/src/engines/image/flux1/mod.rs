//! FLUX.1, from the folder layout of the diffusers library.

mod blocks;
mod model;
mod transformer;

pub use model::{Flux1, FluxCondition};
pub use transformer::{FluxTransformer, FluxWords};
