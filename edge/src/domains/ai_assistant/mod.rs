//! Huntaze's assistant: answers as a stream of events, and its tools.

pub mod handlers;
pub mod service;
pub mod tool_handlers;

use crate::{http::routes::Routes, routes};

/// The table of routes.
pub fn routes() -> Routes {
    routes![handlers::{ask_assistant, watch_answer}]
        .merge(routes![tool_handlers::{create_message, optimize_price}])
}
