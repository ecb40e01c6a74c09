//! What every request passes through, one function per file; `app.rs` has their order.

pub mod auth;
pub mod log;
pub mod request_id;
