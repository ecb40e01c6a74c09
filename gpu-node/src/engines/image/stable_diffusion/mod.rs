//! The Stable Diffusion family, from the folder layout of the diffusers library.

mod model;
mod transformer;
mod unet;
mod unet_blocks;

pub use model::{Guided, StableDiffusion};
pub use unet::UNet;
