//! The OpenAI door: bodies, answers, streams and errors as OpenAI's own clients expect them.
//!
//! [`parameters`] is the one table of what becomes of each parameter; `fields` reads a body by it.

pub mod chat;
pub mod completions;
#[cfg(test)]
mod coverage;
pub mod embeddings;
mod errors;
mod events;
mod fields;
mod generation;
mod head;
mod image_parameters;
pub mod images;
pub mod models;
pub mod parameters;
mod prompts;

pub use errors::answer_as_openai;
