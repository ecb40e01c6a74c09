//! Grimoire's scenes: `POST /api/generate/scene` and what becomes of it.

pub mod handlers;
pub mod service;
pub mod stray_files_cron;

use crate::{http::routes::Routes, routes};

/// The table of routes.
pub fn routes() -> Routes {
    routes![handlers::{create_scene, list_scenes, find_scene, delete_scene, show_picture}]
}
