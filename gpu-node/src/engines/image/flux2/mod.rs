//! FLUX.2-klein (Black Forest Labs), from the folder layout of the diffusers library.

mod blocks;
mod config;
mod model;
mod reference;
mod transformer;
mod vae;

pub use model::{Flux2Klein, GuidedConditioning, schedule_shift};
pub use transformer::{Conditioning, Transformer};
pub use vae::Flux2Vae;
