//! RunPod's and Replicate's routes over the node's one queue, with fake engines: bodies, traps, webhooks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

mod across;
mod limits;
mod patience;
mod receiver;
mod replicate;
mod runpod;
#[path = "../support/mod.rs"]
mod support;
mod webhooks;

use serde_json::{Value, json};
use support::{Answer, TestNode, request};

/// The names of an object's members, sorted.
fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// Orders by RunPod's `run`; gives the job's id.
async fn run(node: &TestNode, body: Value) -> String {
    let answer = node.post("/v2/tiny/run", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Orders by Replicate's route; gives the prediction.
async fn predict(node: &TestNode, body: Value) -> Value {
    let answer = node.post("/v1/models/chandelle/tiny/predictions", &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// A POST with one more header.
async fn post_with(
    node: &TestNode,
    path: &str,
    (name, value): (&str, &str),
    body: Value,
) -> Answer {
    let mut request = request("POST", path, Some(&body));
    let name: axum::http::HeaderName = name.parse().unwrap();
    request.headers_mut().insert(name, value.parse().unwrap());
    node.send(request).await
}

/// The prompt alone.
fn asking(prompt: &str) -> Value {
    json!({ "input": { "prompt": prompt, "seed": 7 } })
}

/// Waits until the engine has begun with the job; any spelling of its id will do.
async fn until_started(node: &TestNode, id: &str) {
    node.follow(&format!("/v1/jobs/{id}"), None).await.until("started").await;
}
