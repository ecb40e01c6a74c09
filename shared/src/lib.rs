//! The contract between the edge Worker and the GPU node: wire types, validation, limits, prompts.
//!
//! No I/O, no async, and nothing of the worker, axum or candle crates: it builds for wasm and natively.
//!
//! - [`address`]: addresses that are safe to fetch from
//! - [`api`]: bodies of the public API, one file per domain
//! - [`node`]: bodies between edge and node, one file per modality
//! - [`errors`]: the only error shape on the wire
//! - [`validate`]: reading a JSON body and reporting everything wrong with it at once
//! - [`language`]: the languages the product speaks
//! - [`limits`]: every maximum, each with its reason
//! - [`signing`]: signed webhooks, for whoever sends and whoever receives

pub mod address;
pub mod api;
pub mod errors;
pub mod ids;
pub mod language;
pub mod limits;
pub mod node;
pub mod prompt;
pub mod signing;
pub mod tokens;
pub mod validate;
