//! Image models: the orders they take, the pictures they give.

mod dit;
pub mod flux1;
pub mod flux2;
mod input;
mod job;
mod lossy_webp;
mod noise;
mod picture;
pub mod pipeline;
mod resnet;
pub mod schedulers;
pub mod sd3;
pub mod stable_diffusion;
pub mod text_encoders;
mod vae;
pub mod z_image;

pub use job::{EncodedImage, ImageEvent, ImageJob, ModelDefaults};
pub use vae::Vae;

use super::Engine;

/// Names the code that made a picture: with the same request, seed and model revision it gives the same bytes.
pub const ENGINE_VERSION: &str = concat!("chandelle-image/", env!("CARGO_PKG_VERSION"));

/// Any image model, behind one type, so that one kind of lane holds them all.
pub type ImageEngine =
    Box<dyn Engine<Input = ImageJob, Event = ImageEvent, Output = Vec<EncodedImage>> + Send>;
