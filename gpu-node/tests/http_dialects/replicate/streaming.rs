//! A prediction's stream.

use axum::http::header;
use serde_json::json;

use super::{get, id_of, path_of, wait};
use crate::{
    asking, predict,
    support::{TestNode, request, sse::Events},
};

#[tokio::test]
async fn a_stream_tells_progress_then_each_file_then_that_it_is_done() {
    let node = TestNode::start();
    let prediction = predict(&node, asking("a fish")).await;
    let path = path_of(&prediction["urls"]["stream"]);
    assert!(path.starts_with("/v1/files/"), "there the JavaScript client makes files of outputs");
    let mut bare = request("GET", path, None);
    bare.headers_mut().remove(header::AUTHORIZATION);
    let answer = node.send(bare).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let blocks = blocks(answer.text());
    let named: Vec<&str> = blocks.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(named, ["logs", "logs", "logs", "output", "done"]);
    let done = get(&node, id_of(&prediction)).await;
    assert_eq!(done["output"][0], blocks[3].1.as_str());
    assert_eq!(blocks[4].1, "{}");
}

#[tokio::test]
async fn a_stream_tells_a_failure_and_a_cancellation() {
    let node = TestNode::start();
    let failed = wait(&node, asking("fail")).await;
    let text = node.get(path_of(&failed["urls"]["stream"])).await;
    let expected = [
        ("error".to_owned(), "the card fell off".to_owned()),
        ("done".to_owned(), r#"{"reason": "error"}"#.to_owned()),
    ];
    assert_eq!(blocks(text.text()), expected);
    node.script.hold();
    let cancelled = predict(&node, asking("a fish")).await;
    let path = format!("/v1/predictions/{}/cancel", id_of(&cancelled));
    node.post(&path, &json!({})).await;
    node.script.let_go();
    let text = node.get(path_of(&cancelled["urls"]["stream"])).await;
    let done = ("done".to_owned(), r#"{"reason": "canceled"}"#.to_owned());
    assert_eq!(blocks(text.text()).last(), Some(&done));
}

/// The name and the data of each event; every one must have an id, or the Python client skips it.
fn blocks(text: &str) -> Vec<(String, String)> {
    let blocks = text.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':'));
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {block}")).trim_start().to_owned()
    };
    let parse = |block: &str| {
        assert!(!field(block, "id:").is_empty());
        (field(block, "event:"), field(block, "data:"))
    };
    blocks.map(parse).collect()
}

#[tokio::test]
async fn an_event_stream_of_the_native_protocol_follows_a_prediction_too() {
    let node = TestNode::start();
    let prediction = predict(&node, asking("a fish")).await;
    let events: Events = node.follow(&format!("/v1/jobs/{}", id_of(&prediction)), None).await;
    assert_eq!(events.rest().await.pop().unwrap().name, "completed");
}
