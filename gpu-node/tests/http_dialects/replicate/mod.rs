//! Replicate's predictions, and the traps that its official clients set.

mod creating;
mod ending;
mod reading;
mod streaming;
mod uploads;

use serde_json::Value;

use crate::{post_with, support::TestNode};

const MODEL: &str = "/v1/models/chandelle/tiny";

fn id_of(prediction: &Value) -> &str {
    prediction["id"].as_str().unwrap()
}

async fn get(node: &TestNode, id: &str) -> Value {
    let answer = node.get(&format!("/v1/predictions/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Orders and waits for the end.
async fn wait(node: &TestNode, body: Value) -> Value {
    let path = format!("{MODEL}/predictions");
    let answer = post_with(node, &path, ("prefer", "wait"), body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// A URL of this node as a path.
fn path_of(url: &Value) -> &str {
    url.as_str().unwrap().strip_prefix("http://localhost").unwrap()
}

async fn version(node: &TestNode) -> String {
    let model = node.get(MODEL).await.json();
    model["latest_version"]["id"].as_str().unwrap().to_owned()
}
