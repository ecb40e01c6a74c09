//! FLUX.2-klein (Black Forest Labs), from the folder layout of the diffusers library.

mod blocks;
mod config;
mod transformer;

pub use transformer::{Conditioning, Transformer};
