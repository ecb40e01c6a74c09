//! Lanes for models that run many requests at once: texts token by token, embeddings gathered into passes.

mod door;
mod embedding;
mod pace;
mod text;
mod text_worker;

pub use door::Ticket;
pub use embedding::{EmbeddingAnswer, EmbeddingLane, EmbeddingLaneSettings, LoadEmbedding};
pub use text::{LoadText, TextLane, TextLaneSettings, TextObserver};
