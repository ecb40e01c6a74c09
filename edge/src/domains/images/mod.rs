//! Sorami's images: `POST /api/images/generate`, and what its webhooks say of it.

pub mod drawing;
pub mod handlers;
pub mod input;
pub mod service;
pub mod wording;

use crate::{http::routes::Routes, routes};

/// The table of routes.
pub fn routes() -> Routes {
    routes![handlers::{create_images, find_images}]
}
