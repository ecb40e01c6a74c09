//! `/api/ai-assistant/*`.

mod bad_requests;
mod cache;
pub mod generate;
mod resume;
mod tools;
