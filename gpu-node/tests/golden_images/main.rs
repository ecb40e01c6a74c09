//! The tiny image models against the reference libraries, part by part and as a whole.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod clip_tokenizer;
mod flow_match;
mod flux1;
mod flux2;
#[path = "../golden/mod.rs"]
mod golden;
mod passes;
mod pipeline;
mod qwen3_encoder;
mod run;
mod schedulers;
mod sd3;
mod sdxl;
mod stable_diffusion;
mod stable_diffusion_2;
mod support;
mod t5;
mod z_image;
