//! The OpenAI routes in process, over models that say what they are told to.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

#[path = "../support/mod.rs"]
mod support;

mod chat;
mod completions;
mod edits;
mod embeddings;
mod errors;
mod images;
mod models;
mod parameters;
mod stream;
mod tools;

use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";
const IMAGES: &str = "/v1/images/generations";
const EDITS: &str = "/v1/images/edits";

/// A chat request with the rest of its fields.
fn chat(content: &str, rest: Value) -> Value {
    with(json!({ "model": "talker", "messages": [{ "role": "user", "content": content }] }), rest)
}

/// A completion request with the rest of its fields.
fn completion(prompt: &str, rest: Value) -> Value {
    with(json!({ "model": "talker", "prompt": prompt }), rest)
}

/// A request for a picture with the rest of its fields.
fn picture(rest: Value) -> Value {
    with(json!({ "model": "tiny", "prompt": "a fish", "seed": 7 }), rest)
}

fn with(mut body: Value, rest: Value) -> Value {
    body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    body
}
