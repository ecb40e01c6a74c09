//! Huntaze's content ideas: `POST /api/content-ideas/generate`, and the same as a tool of the assistant.

pub mod handlers;
pub mod service;

use crate::{http::routes::Routes, routes};

/// The table of routes.
pub fn routes() -> Routes {
    routes![handlers::{create_content_ideas, suggest_content_ideas}]
}
