//! The queue between the door and the models: one lane per model, a bounded queue and a thread each.
//!
//! Knows engines, but neither HTTP nor what a job's events look like on the wire.

mod batched;
mod budget;
mod control;
mod history;
mod job;
mod lane;
mod loading;
pub mod metrics;
mod pass;
mod queue;
mod stay;
mod stop;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use batched::{
    EmbeddingAnswer, EmbeddingLane, EmbeddingLaneSettings, LoadEmbedding, LoadText, TextLane,
    TextLaneSettings, TextObserver, Ticket,
};
pub use budget::MemoryBudget;
pub use control::LaneControl;
pub use job::{Failure, LaneJob, Observer, Outcome, Place, Refused};
pub use lane::{Lane, LaneSettings, LaneStatus, LoadEngine, LoadState};
pub use loading::LoadModel;
pub use metrics::Metrics;

/// A panic of another thread leaves our plain values whole, so poisoning is no reason to stop.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
