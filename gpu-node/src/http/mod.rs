//! The door: HTTP in, HTTP out. Decisions are made behind it.

pub mod base;
pub mod body;
pub mod extract;
pub mod form;
pub mod middleware;
pub mod openai;
pub mod replicate;
pub mod respond;
pub mod routes;
pub mod runpod;
