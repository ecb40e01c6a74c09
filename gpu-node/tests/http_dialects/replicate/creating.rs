//! Creating predictions: their members, links, versions, waits, and what is refused.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{MODEL, get, id_of, version};
use crate::{
    asking, names, post_with, predict,
    support::{Settings, TestNode, request},
    until_started,
};

#[tokio::test]
async fn a_new_prediction_is_201_and_has_every_member() {
    let node = TestNode::start();
    node.script.hold();
    let prediction = predict(&node, asking("a fish")).await;
    let members = [
        "completed_at",
        "created_at",
        "data_removed",
        "error",
        "id",
        "input",
        "logs",
        "metrics",
        "model",
        "output",
        "source",
        "started_at",
        "status",
        "urls",
        "version",
    ];
    assert_eq!(names(&prediction), members);
    let id = id_of(&prediction);
    assert_eq!(id.len(), 26);
    assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{id}");
    assert_eq!(prediction["model"], "chandelle/tiny");
    assert_eq!(prediction["input"], json!({ "prompt": "a fish", "seed": 7 }));
    assert_eq!(prediction["output"], Value::Null);
    assert_eq!(
        (&prediction["source"], &prediction["data_removed"]),
        (&json!("api"), &json!(false))
    );
    let get = format!("http://localhost/v1/predictions/{id}");
    assert_eq!(prediction["urls"]["get"], get);
    assert_eq!(prediction["urls"]["cancel"], format!("{get}/cancel"));
}

#[tokio::test]
async fn links_are_those_that_the_caller_can_reach() {
    let node = TestNode::start();
    let mut behind_a_proxy = request("POST", &format!("{MODEL}/predictions"), Some(&asking("x")));
    let headers = behind_a_proxy.headers_mut();
    headers.insert("host", "node.example.com".parse().unwrap());
    headers.insert("x-forwarded-proto", "https".parse().unwrap());
    let prediction = node.send(behind_a_proxy).await.json();
    let get = prediction["urls"]["get"].as_str().unwrap();
    assert!(get.starts_with("https://node.example.com/v1/predictions/"), "{get}");
}

#[tokio::test]
async fn a_wait_that_was_in_vain_says_starting_within_its_time() {
    let node = TestNode::start();
    node.script.hold();
    let first = predict(&node, asking("a fish")).await;
    until_started(&node, id_of(&first)).await;
    // The second runs once the first is done; both would be `processing` then.
    let path = format!("{MODEL}/predictions");
    tokio::time::pause();
    let asked = tokio::time::Instant::now();
    let answer = post_with(&node, &path, ("prefer", "wait=5"), asking("a bird")).await;
    assert_eq!(
        (answer.status, answer.json()["status"].clone()),
        (StatusCode::CREATED, "starting".into())
    );
    assert!(asked.elapsed() < Duration::from_secs(5), "the client hangs up after its wait");
}

#[tokio::test]
async fn a_prediction_under_way_is_starting_for_who_waited_in_vain() {
    let node = TestNode::start();
    node.script.hold();
    let path = format!("{MODEL}/predictions");
    let answer = post_with(&node, &path, ("prefer", "wait=1"), asking("a fish")).await.json();
    assert_eq!(answer["status"], "starting", "clients take another status for the end");
    until_started(&node, id_of(&answer)).await;
    assert_eq!(get(&node, id_of(&answer)).await["status"], "processing");
}

#[tokio::test]
async fn the_old_word_for_a_stream_is_taken_and_every_prediction_has_one() {
    let node = TestNode::start();
    for stream in [true, false] {
        let prediction =
            predict(&node, json!({ "input": { "prompt": "a fish" }, "stream": stream }));
        assert!(prediction.await["urls"]["stream"].is_string());
    }
}

#[tokio::test]
async fn every_form_of_a_version_names_its_model() {
    let node = TestNode::with(Settings { models: &["tiny", "other"], ..Settings::default() });
    let id = version(&node).await;
    assert_eq!(id.len(), 64);
    for version in [id.clone(), format!("chandelle/tiny:{id}"), "somebody/tiny".to_owned()] {
        let body = json!({ "version": version, "input": { "prompt": "a fish" } });
        let answer = node.post("/v1/predictions", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.json()["model"], "chandelle/tiny");
        assert_eq!(answer.json()["version"], id.as_str());
    }
    let other = format!("chandelle/other:{id}");
    for version in [json!("0".repeat(64)), json!("chandelle/huge"), json!(other), json!("tiny")] {
        let body = json!({ "version": version, "input": { "prompt": "a fish" } });
        node.post("/v1/predictions", &body).await.problem(422, "invalid_request");
    }
    let problem = node.post("/v1/predictions", &asking("x")).await.problem(422, "invalid_request");
    assert_eq!(problem["detail"], "version is required");
    let path = "/v1/deployments/acme/tiny/predictions";
    assert_eq!(node.post(path, &asking("a fish")).await.status, 201);
    node.post("/v1/models/acme/huge/predictions", &asking("x")).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_wrong_input_is_422_with_all_of_it_in_detail() {
    let node = TestNode::with_texts();
    let path = format!("{MODEL}/predictions");
    let body = json!({ "input": { "width": 100, "hue": 3, "num_outputs": 11 } });
    let problem = node.post(&path, &body).await.problem(422, "invalid_request");
    assert_eq!(
        problem["detail"],
        "input.prompt is required; input.num_outputs must be between 1 and 10; input.hue is not a \
         known field"
    );
    let body = json!({ "input": { "prompt": "x", "width": 100 } });
    let problem = node.post(&path, &body).await.problem(422, "invalid_request");
    assert_eq!(problem["detail"], "input.width must be a multiple of 64 for this model");
    let problem = node.post("/v1/models/x/talker/predictions", &asking("x")).await;
    let problem = problem.problem(422, "invalid_request");
    assert_eq!(problem["detail"], "version must be a model that makes pictures");
    assert_eq!(node.state.jobs.book.list().len(), 0);
}

#[tokio::test]
async fn a_full_queue_is_429_in_replicates_words() {
    let node = TestNode::with(Settings { queue_capacity: 1, ..Settings::default() });
    node.script.hold();
    let running = predict(&node, asking("a fish")).await;
    until_started(&node, id_of(&running)).await;
    predict(&node, asking("a bird")).await;
    let answer = node.post(&format!("{MODEL}/predictions"), &asking("a cat")).await;
    let problem = answer.problem(429, "overloaded");
    assert_eq!(problem["detail"], "Request was throttled. Your rate limit resets in ~5s.");
    assert_eq!(answer.header("retry-after"), "5");
}
