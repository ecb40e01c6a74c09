//! The Stable Diffusion family, from the folder layout of the diffusers library.

mod model;
mod prompt;
mod transformer;
mod unet;
mod unet_blocks;
mod unet_config;

pub use model::{Guided, StableDiffusion};
pub use prompt::{EncodedPrompt, PromptEncoder};
pub use unet::UNet;
