//! Lanes for models that run many requests at once: texts step by step, embeddings gathered into passes.

mod lane;
mod pace;
mod worker;

pub use lane::{LoadText, TextLane, TextLaneSettings, TextObserver, TextTicket};
