//! RunPod's time limits, and what its health says while nothing moves.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{asking, run, support::TestNode, until_started};

pub(super) async fn status(node: &TestNode, id: &str) -> Value {
    node.get(&format!("/v2/tiny/status/{id}")).await.json()
}

/// Asks once a second, by a clock that a paused test moves; the limits under test may begin after the pause.
pub(super) async fn until_status(node: &TestNode, id: &str, wanted: &str) {
    for _ in 0..60 {
        if status(node, id).await["status"] == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("a minute passed, and it is not {wanted}");
}

#[tokio::test]
async fn a_job_whose_model_is_on_its_way_into_memory_is_not_in_progress() {
    let node = TestNode::start();
    node.script.hold_loads();
    run(&node, asking("a fish")).await;
    while !node.state.jobs.catalog.models()[0].status().is_running {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let body = node.get("/v2/tiny/health").await.json();
    let jobs = json!({ "completed": 0, "failed": 0, "inProgress": 0, "inQueue": 1, "retried": 0 });
    assert_eq!(body["jobs"], jobs);
    let workers = json!({
        "idle": 0, "initializing": 1, "ready": 0, "running": 0, "throttled": 0, "unhealthy": 0
    });
    assert_eq!(body["workers"], workers);
}

#[tokio::test]
async fn a_job_that_runs_too_long_times_out() {
    let node = TestNode::start();
    node.script.hold();
    let body = json!({ "input": { "prompt": "x" }, "policy": { "executionTimeout": 5000 } });
    let id = run(&node, body).await;
    until_started(&node, &id).await;
    tokio::time::pause();
    until_status(&node, &id, "TIMED_OUT").await;
    let body = status(&node, &id).await;
    assert_eq!(body["status"], "TIMED_OUT");
    assert!(body["error"].is_string());
    node.script.let_go();
    let native = node.end_of(&format!("/v1/jobs/{id}")).await;
    assert_eq!((&native["event"], &native["code"]), (&json!("failed"), &json!("timed_out")));
}

#[tokio::test]
async fn a_job_whose_time_to_live_ends_in_the_queue_times_out() {
    let node = TestNode::start();
    node.script.hold();
    let running = run(&node, asking("a fish")).await;
    until_started(&node, &running).await;
    let body = json!({ "input": { "prompt": "x" }, "policy": { "ttl": 10000 } });
    let id = run(&node, body).await;
    tokio::time::pause();
    until_status(&node, &id, "TIMED_OUT").await;
}

#[tokio::test]
async fn nothing_is_left_of_a_job_whose_time_to_live_ends_while_it_runs() {
    let node = TestNode::start();
    node.script.hold();
    let body = json!({ "input": { "prompt": "x" }, "policy": { "ttl": 10000 } });
    let id = run(&node, body).await;
    until_started(&node, &id).await;
    tokio::time::pause();
    until_status(&node, &id, "TIMED_OUT").await;
    tokio::time::resume();
    node.script.let_go();
    while node.get(&format!("/v2/tiny/status/{id}")).await.status != StatusCode::NOT_FOUND {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
