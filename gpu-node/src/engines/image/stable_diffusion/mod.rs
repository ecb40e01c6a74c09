//! The Stable Diffusion family, from the folder layout of the diffusers library.

mod clip;
mod pipeline;
mod resnet;
mod tokenizer;
mod transformer;
mod unet;
mod unet_blocks;
mod vae;

pub use clip::ClipTextEncoder;
pub use pipeline::{Denoising, PipelineOptions, StableDiffusion};
pub use tokenizer::PromptTokenizer;
pub use unet::UNet;
pub use vae::Vae;
