//! The AI service, one for every route that has text written: it picks the node, shares and keeps answers, and counts.
//!
//! A domain makes a [`TextOrder`](crate::ports::text::TextOrder) (`orders.rs`); `service.rs` asks its room for it; the room
//! runs `conduct.rs`: reserve, `generate.rs`, settle. `write.rs` is one call to a node, or to the next one.

pub mod answers;
pub mod conduct;
pub mod generate;
pub mod orders;
pub mod prompts;
pub mod service;
pub mod text_ports;
pub mod write;
