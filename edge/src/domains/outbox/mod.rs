//! Messages to third parties: delivering them, and what an admin sees of them.

pub mod deliver;
pub mod discord;
pub mod outbox_consumer;
pub mod service;
