//! RunPod's serverless routes: an endpoint is a model, by its manifest's name.

mod errors;
mod handlers;
mod openai;

pub use errors::answer_as_runpod;
pub use handlers::{
    cancel, check_health, create_async, create_sync, follow, purge, retry, status, status_sync,
};
pub use openai::{check_endpoint, list_models};
