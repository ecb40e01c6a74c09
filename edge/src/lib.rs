//! The edge: a Cloudflare Worker between browsers, the database and the GPU nodes.

pub mod adapters;
pub mod caller;
pub mod error;
pub mod gates;
pub mod ports;
