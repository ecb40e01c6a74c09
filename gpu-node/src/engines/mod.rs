//! The models. Each engine is blocking code on one thread; it knows nothing of queues, HTTP or tokio.

pub mod device;
pub mod engine;
pub mod image;

pub use device::Devices;
pub use engine::{Engine, EngineError, Sink, Stopped};
