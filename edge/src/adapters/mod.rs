//! The only code that touches the runtime (`worker::*`), beside `lib.rs`, `events.rs` and `state.rs`: technology + role.
//!
//! It compiles natively too, so that the compiler checks it everywhere; it runs only in the Worker.

pub mod account;
pub mod background;
#[cfg(feature = "bench")]
pub mod bench;
pub mod bridge;
pub mod byte_stream;
pub mod clock;
pub mod console;
pub mod discord;
pub mod durable;
pub mod fleet;
pub mod http_client;
pub mod job_room;
pub mod jwks;
pub mod native;
pub mod node_client;
pub mod node_events;
pub mod queues;
pub mod random;
pub mod rate_limiter;
pub mod runtime;
pub mod sse;
pub mod stub;
pub mod supabase;
pub mod text_node;
pub mod text_rooms;
pub mod transfer;
pub mod web;
pub mod web_crypto;
pub mod webhook;
