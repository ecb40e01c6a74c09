//! The node: runs models behind one HTTP door. The binary and the tests both stand on this crate.
//!
//! - [`engines`]: the models themselves; blocking, and ignorant of HTTP and tokio
//! - [`registry`]: what is in the models folder, and how a manifest becomes an engine
//! - [`cli`]: the commands that need no server

pub mod cli;
pub mod engines;
pub mod registry;
