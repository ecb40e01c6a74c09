//! `/api/generate/scene` and `/api/scenes`.

mod create;
mod delete;
mod list;
mod picture;
mod wait;
