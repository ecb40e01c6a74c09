//! How predictions end: done, failed, cancelled, out of time; what is kept of them, and for how long.

use std::time::Duration;

use axum::http::{StatusCode, header};
use serde_json::{Value, json};

use super::{MODEL, get, id_of, path_of, wait};
use crate::{
    asking, post_with, predict,
    support::{TestNode, request},
    until_started,
};

#[tokio::test]
async fn a_prediction_starts_is_processed_and_succeeds() {
    let node = TestNode::start();
    node.script.hold();
    let other = predict(&node, asking("a bird")).await;
    let prediction = predict(&node, asking("a fish")).await;
    let id = id_of(&prediction);
    assert_eq!(prediction["status"], "starting");
    until_started(&node, id_of(&other)).await;
    assert_eq!(get(&node, id_of(&other)).await["status"], "processing");
    node.script.let_go();
    node.end_of(&format!("/v1/jobs/{id}")).await;
    let done = get(&node, id).await;
    assert_eq!(done["status"], "succeeded");
    assert!(done["metrics"]["predict_time"].is_f64() && done["metrics"]["total_time"].is_f64());
    assert_eq!(done["metrics"]["image_count"], 1);
    let times = [&done["created_at"], &done["started_at"], &done["completed_at"]];
    assert!(times.iter().all(|time| time.as_str().unwrap().ends_with('Z')), "{done}");
    let logs = done["logs"].as_str().unwrap();
    assert!(logs.starts_with(" 33%|") && logs.ends_with("| 3/3\nUsing seed: 7\n"), "{logs}");
}

#[tokio::test]
async fn outputs_are_urls_that_need_no_token_and_cannot_be_guessed() {
    let node = TestNode::start();
    let done =
        wait(&node, json!({ "input": { "prompt": "a fish", "seed": 7, "num_outputs": 2 } })).await;
    let urls = done["output"].as_array().unwrap();
    assert_eq!(urls.len(), 2);
    let path = path_of(&urls[1]);
    assert!(path.ends_with("/1.png"), "{path}");
    let mut bare = request("GET", path, None);
    bare.headers_mut().remove(header::AUTHORIZATION);
    let answer = node.send(bare).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "a fish #8"));
    assert_eq!(answer.header("content-type"), "image/png");
    let key = path.split('/').nth(4).unwrap();
    assert_eq!(key.len(), 32);
    let guessed = path.replace(key, &"0".repeat(32));
    node.get(&guessed).await.problem(404, "not_found");
    node.get(&path.replace("/1.png", "/2.png")).await.problem(404, "not_found");
    node.get(&path.replace("/1.png", "/png")).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_prediction_that_fails_says_why() {
    let node = TestNode::start();
    let failed = wait(&node, asking("fail")).await;
    assert_eq!(
        (&failed["status"], &failed["error"]),
        (&json!("failed"), &json!("the card fell off"))
    );
    assert_eq!(failed["output"], Value::Null);
}

#[tokio::test]
async fn a_prediction_is_cancelled_at_once() {
    let node = TestNode::start();
    node.script.hold();
    let prediction = predict(&node, asking("a fish")).await;
    let id = id_of(&prediction);
    until_started(&node, id).await;
    let cancel = format!("/v1/predictions/{id}/cancel");
    let answer = node.send(request("POST", &cancel, None)).await;
    assert_eq!(
        (answer.status, answer.json()["status"].clone()),
        (StatusCode::OK, "canceled".into())
    );
    node.script.let_go();
    node.end_of(&format!("/v1/jobs/{id}")).await;
    let ended = get(&node, id).await;
    assert_eq!((&ended["status"], &ended["output"]), (&json!("canceled"), &Value::Null));
    assert!(ended["completed_at"].is_string());
    node.post("/v1/predictions/7/cancel", &json!({})).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_deadline_aborts_what_waits_and_cancels_what_runs() {
    let node = TestNode::start();
    node.script.hold();
    let path = format!("{MODEL}/predictions");
    let deadline = ("cancel-after", "10s");
    let running = post_with(&node, &path, deadline, asking("a fish")).await.json();
    until_started(&node, id_of(&running)).await;
    let waiting = post_with(&node, &path, deadline, asking("a bird")).await.json();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(get(&node, id_of(&waiting)).await["status"], "aborted");
    assert_eq!(get(&node, id_of(&running)).await["status"], "canceled");
    let problem = post_with(&node, &path, ("cancel-after", "soon"), asking("x")).await;
    problem.problem(422, "invalid_request");
}

#[tokio::test]
async fn a_prediction_may_run_half_an_hour() {
    let node = TestNode::start();
    node.script.hold();
    let prediction = predict(&node, asking("a fish")).await;
    until_started(&node, id_of(&prediction)).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(1801)).await;
    assert_eq!(get(&node, id_of(&prediction)).await["status"], "failed");
}

#[tokio::test]
async fn input_and_output_are_removed_after_an_hour() {
    let node = TestNode::start();
    let done = wait(&node, asking("a fish")).await;
    let file = path_of(&done["output"][0]);
    node.clock.advance(Duration::from_secs(3600));
    assert_eq!(node.get(file).await.status, 200);
    node.clock.advance(Duration::from_secs(1));
    let left = get(&node, id_of(&done)).await;
    assert_eq!((&left["status"], &left["data_removed"]), (&json!("succeeded"), &json!(true)));
    assert_eq!(
        (&left["input"], &left["output"], &left["logs"]),
        (&Value::Null, &Value::Null, &json!(""))
    );
    assert_eq!(left["metrics"], done["metrics"]);
    node.get(file).await.problem(404, "not_found");
    node.clock.advance(Duration::from_secs(24 * 3600));
    node.get(&format!("/v1/predictions/{}", id_of(&done))).await.problem(404, "not_found");
}
