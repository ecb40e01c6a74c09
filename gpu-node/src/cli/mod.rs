//! The commands that need no server.

pub mod generate;
pub mod models;
mod write;
