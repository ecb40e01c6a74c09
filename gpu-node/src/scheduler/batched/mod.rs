//! Lanes for models that run many requests at once: texts token by token, embeddings gathered into passes.

mod door;

mod pace;
mod text;
mod text_worker;

pub use door::Ticket;
pub use text::{LoadText, TextLane, TextLaneSettings, TextObserver};
