//! Bodies between the edge and a node, one file per modality, and the events common to all.

pub mod embeddings;
pub mod image;
pub mod jobs;
pub mod models;
pub mod text;
