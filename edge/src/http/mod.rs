//! Between HTTP and the domains: reading requests, wording answers, and what happens around every route.

pub mod asked;
pub mod context;
pub mod extract;
pub mod file;
pub mod idempotency;
pub mod middleware;
pub mod prefer;
pub mod query;
pub mod respond;
pub mod routes;
