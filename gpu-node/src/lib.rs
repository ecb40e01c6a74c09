//! The node: runs models behind one HTTP door. The binary and the tests both stand on this crate.
//!
//! - [`engines`]: the models themselves; blocking, and ignorant of HTTP and tokio
//! - [`registry`]: what is in the models folder, and how a manifest becomes an engine
//! - [`scheduler`]: a bounded queue and a thread per model
//! - [`catalog`]: the models of this node, each with its lane; [`loaders`]: what a lane calls to get its model
//! - [`jobs`]: runs by id, their events and results; [`text`]: chats, completions and embeddings; [`uploads`]: files for later orders
//! - [`dialects`]: RunPod's and Replicate's words for those jobs; [`webhooks`]: telling callers of them
//! - [`app`], [`http`]: the routes; [`serve`], [`lifetime`]: start, signals, drain; [`fleet`]: joining an edge
//! - [`access`], [`clock`], [`config`], [`say`], [`state`]: what the parts share
//! - [`reload`]: loads that failed, tried again
//! - [`blocking`]: where a request computes; [`cli`]: the commands that need no server

pub mod access;
pub mod app;
pub mod blocking;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dialects;
pub mod engines;
pub mod error;
pub mod fleet;
pub mod http;
pub mod jobs;
pub mod lifetime;
pub mod loaders;
pub mod registry;
pub mod reload;
pub mod say;
pub mod scheduler;
pub mod serve;
pub mod state;
pub mod text;
pub mod uploads;
pub mod webhooks;
