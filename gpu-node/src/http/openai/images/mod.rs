//! `POST /v1/images/generations` and `/v1/images/edits`: reading the request, writing the pictures whole or as a stream.

mod answer;
mod form;
mod handler;
mod request;
mod stream;

pub use handler::{create_image, edit_image};
pub use request::{ImagesCall, read_edit, read_generation};
