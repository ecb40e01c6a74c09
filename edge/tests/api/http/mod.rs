//! The rules that hold for every route.

mod audit;
mod bodies;
mod cors;
mod errors;
mod headers;
mod idempotency;
mod limits;
mod queries;
