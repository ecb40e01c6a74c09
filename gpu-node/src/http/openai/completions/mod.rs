//! `POST /v1/completions`: the older route, for prompts that are continued as they are.

mod answer;
mod handler;
mod request;
mod stream;

pub use handler::create_completion;
pub use request::{CompletionCall, read_completion};
