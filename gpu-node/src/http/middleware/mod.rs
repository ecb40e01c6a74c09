//! What every request passes through, one function per file; `app.rs` has their order.

pub mod auth;
pub mod log;
mod path;
pub mod request_id;

/// The routes that need no token; every other answers 401 without one, as do unknown paths.
pub const PUBLIC_ROUTES: &[&str] = &[
    "/health/live",
    "/health/ready",
    // Their key is in the address.
    "/v1/files/{id}/{key}/{name}",
    "/v1/files/{id}/{key}/stream",
];
