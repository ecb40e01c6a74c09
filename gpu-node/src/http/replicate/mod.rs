//! Replicate's predictions: created, waited for, listed, cancelled; their files and streams by addresses nobody guesses; files uploaded for them.

mod errors;
mod files;
mod find;
mod handlers;
mod list;
mod models;
mod uploads;

pub use errors::answer_as_replicate;
pub use files::{fetch_file, stream_events};
pub use find::held_file;
pub use handlers::{
    cancel_prediction, create_for_model, create_prediction, find_prediction, show_secret,
};
pub use list::list_predictions;
pub use models::{find_model, find_version, list_versions};
pub use uploads::{UPLOAD_BODY_MAX_BYTES, create_file, delete_file, find_file, list_files};
