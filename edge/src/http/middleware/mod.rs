//! What happens around every route, one file per concern. `app.rs` says in which order.

pub mod alias;
pub mod audit;
pub mod auth;
pub mod cors;
pub mod problem;
pub mod rate_limit;
pub mod request_id;
pub mod security_headers;
pub mod server_timing;
