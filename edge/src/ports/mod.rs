//! The outside, as roles: what domains may ask for, and nothing about who answers.
//!
//! Adapters (technology + role) implement these for the Worker, fakes implement them for native tests.

pub mod auth;
pub mod delivery;
pub mod files;
pub mod fleet;
pub mod gates;
pub mod stores;
pub mod system;
pub mod text;
pub mod web;

/// A response that never passes through Rust: the runtime hands its body from the upstream to the caller.
///
/// In the Worker it is the upstream's own response; in native tests, bytes.
pub use system::NativeResponse;
