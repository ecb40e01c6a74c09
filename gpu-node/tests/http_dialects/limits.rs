//! What callers cannot make of the node: keep what nobody asked for, push out what others ordered, or run on unseen.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    asking,
    patience::{status, until_status},
    predict,
    receiver::{Receiver, webhooks},
    run,
    support::{Answer, Settings, TestNode, png},
    until_started,
};

async fn retry(node: &TestNode, id: &str) -> Answer {
    node.post(&format!("/v2/tiny/retry/{id}"), &json!({})).await
}

#[tokio::test]
async fn the_input_of_a_job_that_was_refused_is_not_kept() {
    let node = TestNode::start();
    let id = run(&node, json!({ "input": { "prompt": "x", "y": vec![0; 10_000] } })).await;
    let runs = node.state.jobs.book.list();
    assert_eq!((runs.len(), runs[0].input_bytes()), (1, 0));
    assert!(runs[0].origin.input.is_none());
    let error = "input is not valid: y is not a known field";
    assert_eq!(status(&node, &id).await["error"], error);
    assert_eq!(retry(&node, &id).await.status, StatusCode::OK);
    let again = status(&node, &id).await;
    assert_eq!((&again["status"], &again["error"]), (&json!("FAILED"), &json!(error)));
}

#[tokio::test]
async fn the_words_on_an_order_that_was_refused_are_not_endless() {
    let node = TestNode::start();
    let input: Map<String, Value> =
        (0..5000).map(|number| (format!("field {number}"), json!(1))).collect();
    let id = run(&node, json!({ "input": input })).await;
    let error = status(&node, &id).await["error"].clone();
    let error = error.as_str().unwrap();
    assert!(error.chars().count() <= 2001 && error.ends_with('…'), "{error}");
}

#[tokio::test]
async fn a_job_that_timed_out_runs_again_once_its_engine_has_stopped() {
    let node = TestNode::start();
    node.script.hold();
    let body = json!({
        "input": { "prompt": "a fish", "seed": 7 }, "policy": { "executionTimeout": 5000 }
    });
    let id = run(&node, body).await;
    until_started(&node, &id).await;
    tokio::time::pause();
    until_status(&node, &id, "TIMED_OUT").await;
    let refused = retry(&node, &id).await;
    assert_eq!(refused.runpod_error(503), "the job's engine has not stopped yet");
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(status(&node, &id).await["status"], "TIMED_OUT");
    tokio::time::resume();
    let (again, ()) = tokio::join!(retry(&node, &id), async { node.script.allow_steps(1) });
    assert_eq!(again.json()["status"], "IN_QUEUE", "{}", again.text());
    until_started(&node, &id).await;
    node.post(&format!("/v2/tiny/cancel/{id}"), &json!({})).await;
    node.script.let_go();
    let id = id.split_at(36).0;
    assert_eq!(node.end_of(&format!("/v1/jobs/{id}")).await["event"], "cancelled");
}

#[tokio::test]
async fn orders_that_are_refused_push_out_nobodys_pictures() {
    let mut settings = Settings::default();
    settings.retention.max_count = 20;
    let node = TestNode::with(settings);
    let job = node.order(1, "a fish").await;
    node.end_of(&job).await;
    for _ in 0..50 {
        node.clock.advance(Duration::from_secs(1));
        run(&node, json!({ "input": {} })).await;
    }
    assert_eq!(node.get(&format!("{job}/artifacts/0")).await.text(), "a fish #7");
    assert_eq!(node.state.jobs.book.list().len(), 3, "one with a picture, two that never began");
}

#[tokio::test]
async fn every_dialect_says_at_once_that_a_job_was_cancelled() {
    let node = TestNode::start();
    node.script.hold();
    let id = run(&node, asking("a fish")).await;
    until_started(&node, &id).await;
    node.post(&format!("/v2/tiny/cancel/{id}"), &json!({})).await;
    assert_eq!(status(&node, &id).await["status"], "CANCELLED");
    assert_eq!(node.get(&format!("/v1/jobs/{id}")).await.json()["status"], "cancelled");
    let prediction = node.get(&format!("/v1/predictions/{id}")).await.json();
    assert_eq!(prediction["status"], "canceled");
    let completed_at = &prediction["completed_at"];
    assert!(completed_at.is_string(), "{prediction}");
    node.script.let_go();
    node.end_of(&format!("/v1/jobs/{id}")).await;
    let ended = node.get(&format!("/v1/predictions/{id}")).await.json();
    assert_eq!(&ended["completed_at"], completed_at, "the end is told once");
}

/// An input with a picture of some kilobytes.
fn with_picture(webhook: Option<&str>) -> Value {
    let picture = format!("data:image/png;base64,{}", png(1000, 1000));
    let mut body = json!({ "input": { "prompt": "a fish", "image": picture } });
    if let Some(url) = webhook {
        body["webhook"] = url.into();
        body["webhook_events_filter"] = json!(["start", "completed"]);
    }
    body
}

fn is_shortened(input: &Value) -> bool {
    let picture = input["image"].as_str().unwrap();
    picture.starts_with("data:image/png;base64,")
        && picture.ends_with(" bytes)")
        && picture.len() < 100
}

#[tokio::test]
async fn pictures_in_inputs_are_told_whole_one_by_one_and_shortened_in_lists() {
    let node = TestNode::start();
    let body = with_picture(None);
    let prediction = predict(&node, body.clone()).await;
    assert_eq!(prediction["input"], body["input"]);
    let list = node.get("/v1/predictions").await.json();
    let input = &list["results"][0]["input"];
    assert!(is_shortened(input), "{input}");
    assert_eq!(input["prompt"], "a fish");
    let path = format!("/v1/predictions/{}", prediction["id"].as_str().unwrap());
    assert_eq!(node.get(&path).await.json()["input"], body["input"]);
}

#[tokio::test]
async fn only_the_last_webhook_tells_a_picture_of_the_input_whole() {
    let receiver = Receiver::start(&[]).await;
    let webhooks = webhooks(Duration::ZERO);
    let node = TestNode::with(Settings { webhooks, ..Settings::default() });
    node.script.hold();
    let body = with_picture(Some(&receiver.url));
    predict(&node, body.clone()).await;
    assert!(is_shortened(&receiver.calls(1).await[0].json()["input"]));
    node.script.let_go();
    assert_eq!(receiver.calls(2).await[1].json()["input"], body["input"]);
}
