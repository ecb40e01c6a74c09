//! The door: HTTP in, HTTP out. Decisions are made behind it.

pub mod extract;
pub mod form;
pub mod middleware;
pub mod openai;
pub mod respond;
pub mod routes;
