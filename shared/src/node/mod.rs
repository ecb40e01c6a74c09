//! Bodies between the edge and a node, one file per modality, and the events common to all.

pub mod image;
pub mod jobs;
