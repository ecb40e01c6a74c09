//! Messages to third parties, written in the transaction of what they report: delivering and replaying them.

pub mod deliver;
pub mod discord;
pub mod handlers;
pub mod outbox_consumer;
pub mod service;
pub mod webhook;

use crate::{http::routes::Routes, routes};

/// The table of routes.
pub fn routes() -> Routes {
    routes![handlers::{list_outbox, replay_outbox}]
}
