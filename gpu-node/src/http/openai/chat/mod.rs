//! `POST /v1/chat/completions`: reading the request, writing the answer whole or as a stream.

mod answer;
mod format;
mod handler;
mod messages;
mod request;
mod stream;
mod strict_schema;
mod tools;

pub use handler::create_chat_completion;
pub use request::{ChatCall, read_chat};
