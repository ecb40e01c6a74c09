//! What the Durable Objects decide, as plain state machines: no storage, no clock, no runtime.
//!
//! An object holds one of these, asks it, and stores what changed; so every rule runs in native tests.

pub mod account;
pub mod fleet;
pub mod idempotency;
pub mod job_room;
pub mod text_room;
