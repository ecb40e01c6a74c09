//! The edge: a Cloudflare Worker between browsers, the database and the GPU nodes.

pub mod adapters;
pub mod app;
pub mod auth;
pub mod caller;
pub mod config;
pub mod domains;
pub mod error;
pub mod gates;
pub mod http;
pub mod ports;
pub mod state;
