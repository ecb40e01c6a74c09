//! The models. Each engine is blocking code on one thread; it knows nothing of queues, HTTP or tokio.

mod checkpoint;
mod config_file;
pub mod device;
pub mod embeddings;
pub mod engine;
pub mod image;
mod layers;
mod memory;
pub mod text;

pub use device::Devices;
pub(crate) use engine::message;
pub use engine::{Engine, EngineError, Members, Sink, Stopped};
pub use layers::compute_as_on_a_card;
