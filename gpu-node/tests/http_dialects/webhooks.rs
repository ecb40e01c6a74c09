//! Webhooks of both dialects, over a real socket.

use std::time::Duration;

use serde_json::{Value, json};
use shared::signing::{Attempt, SigningSecret};

use super::{
    predict,
    receiver::{Call, Receiver, SECRET, webhooks},
    run,
    support::{Settings, TestNode},
    until_started,
};

const HOUR: Duration = Duration::from_secs(3600);

fn node() -> TestNode {
    node_that_tells_logs_every(HOUR)
}

fn node_that_tells_logs_every(interval: Duration) -> TestNode {
    TestNode::with(Settings { webhooks: webhooks(interval), ..Settings::default() })
}

async fn idle(node: &TestNode) {
    node.state.webhooks.as_ref().unwrap().wait_until_idle().await;
}

fn asking(prompt: &str, webhook: &str) -> Value {
    json!({ "input": { "prompt": prompt, "seed": 7 }, "webhook": webhook })
}

fn is_signed(call: &Call) -> bool {
    let attempt = Attempt {
        id: call.header("webhook-id"),
        timestamp: call.header("webhook-timestamp"),
        signatures: call.header("webhook-signature"),
        body: &call.body,
    };
    let now = attempt.timestamp.parse().unwrap();
    SigningSecret::parse(SECRET).unwrap().verify(&attempt, now).is_ok()
}

fn statuses(calls: &[Call]) -> Vec<String> {
    calls.iter().map(|call| call.json()["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn runpods_is_one_call_with_the_body_of_status() {
    let (node, receiver) = (node(), Receiver::start(&[]).await);
    let id = run(&node, asking("a fish", &receiver.url)).await;
    let calls = receiver.calls(1).await;
    let status = node.get(&format!("/v2/tiny/status/{id}")).await.json();
    assert_eq!(calls[0].json(), status);
    assert_eq!(status["status"], "COMPLETED");
    assert_eq!(calls[0].header("content-type"), "application/json");
    idle(&node).await;
    receiver.calls(1).await;
}

#[tokio::test]
async fn runpods_also_tells_of_a_failure_and_a_cancellation() {
    let (node, receiver) = (node(), Receiver::start(&[]).await);
    run(&node, asking("fail", &receiver.url)).await;
    idle(&node).await;
    node.script.hold();
    let id = run(&node, asking("a fish", &receiver.url)).await;
    node.post(&format!("/v2/tiny/cancel/{id}"), &json!({})).await;
    node.script.let_go();
    idle(&node).await;
    run(&node, json!({ "input": {}, "webhookV2": receiver.url })).await;
    let calls = receiver.calls(3).await;
    assert_eq!(statuses(&calls), ["FAILED", "CANCELLED", "FAILED"]);
}

#[tokio::test]
async fn runpods_is_tried_three_times_and_only_200_is_a_success() {
    for (answers, calls) in [(vec![204, 500, 500], 3), (vec![503, 200], 2)] {
        let (node, receiver) = (node(), Receiver::start(&answers).await);
        run(&node, asking("a fish", &receiver.url)).await;
        idle(&node).await;
        let calls = receiver.calls(calls).await;
        assert!(receiver.is_done());
        let same = calls.iter().all(|call| {
            call.body == calls[0].body && call.header("webhook-id") == calls[0].header("webhook-id")
        });
        assert!(same, "the attempts differ");
    }
}

#[tokio::test]
async fn replicates_tells_of_the_end_unless_asked_for_more() {
    let (node, receiver) = (node(), Receiver::start(&[]).await);
    let prediction = predict(&node, asking("a fish", &receiver.url)).await;
    idle(&node).await;
    let calls = receiver.calls(1).await;
    let path = format!("/v1/predictions/{}", prediction["id"].as_str().unwrap());
    assert_eq!(calls[0].json(), node.get(&path).await.json());
    assert_eq!(statuses(&calls), ["succeeded"]);
}

#[tokio::test]
async fn replicates_is_signed_as_its_own_clients_check_it() {
    let (node, receiver) = (node(), Receiver::start(&[500]).await);
    let secret = node.get("/v1/webhooks/default/secret").await.json();
    assert_eq!(secret, json!({ "key": SECRET }));
    predict(&node, asking("a fish", &receiver.url)).await;
    let calls = receiver.calls(2).await;
    assert!(calls.iter().all(is_signed));
    assert_eq!(calls[0].header("webhook-id"), calls[1].header("webhook-id"));
    let mut forged = calls[0].clone();
    forged.body = forged.body.iter().map(u8::to_ascii_uppercase).collect::<Vec<u8>>().into();
    assert!(!is_signed(&forged));
}

#[tokio::test]
async fn what_is_signed_holds_no_dot_of_its_own() {
    let (node, receiver) = (node(), Receiver::start(&[]).await);
    run(&node, asking("a fish", &receiver.url)).await;
    predict(&node, asking("a fish", &receiver.url)).await;
    for call in receiver.calls(2).await {
        assert!(is_signed(&call));
        assert!(!call.header("webhook-id").contains('.'), "dots part what is signed");
        assert!(call.header("webhook-timestamp").bytes().all(|byte| byte.is_ascii_digit()));
    }
}

#[tokio::test]
async fn replicates_tells_of_the_events_it_was_asked_for() {
    let (node, receiver) = (node(), Receiver::start(&[]).await);
    let mut body = asking("a fish", &receiver.url);
    body["webhook_events_filter"] = json!(["start", "completed"]);
    node.script.hold();
    let prediction = predict(&node, body).await;
    let started = receiver.calls(1).await;
    assert_eq!(statuses(&started), ["processing"]);
    assert_eq!(started[0].json()["output"], Value::Null);
    node.script.let_go();
    idle(&node).await;
    assert_eq!(statuses(&receiver.calls(2).await), ["processing", "succeeded"]);
    assert_eq!(started[0].json()["id"], prediction["id"]);
}

fn steps_told(calls: &[Call]) -> Vec<usize> {
    calls.iter().map(|call| call.json()["logs"].as_str().unwrap().lines().count()).collect()
}

/// A prediction of a hundred steps whose logs are told; it waits for its steps.
async fn a_hundred_steps(node: &TestNode, receiver: &Receiver) {
    node.script.hold();
    let mut body = asking("a fish", &receiver.url);
    body["webhook_events_filter"] = json!(["logs"]);
    body["input"]["num_inference_steps"] = json!(100);
    predict(node, body).await;
}

#[tokio::test]
async fn logs_wait_for_each_other_and_none_is_lost() {
    let (node, receiver) = (node(), Receiver::start(&[]).await);
    a_hundred_steps(&node, &receiver).await;
    node.script.allow_steps(1);
    receiver.calls(1).await;
    node.script.let_go();
    idle(&node).await;
    let told = steps_told(&receiver.calls(2).await);
    assert_eq!(told, [1, 101], "the first, and all at the end");
}

#[tokio::test]
async fn every_step_is_told_to_who_listens_fast_enough() {
    let (node, receiver) = (node_that_tells_logs_every(Duration::ZERO), Receiver::start(&[]).await);
    a_hundred_steps(&node, &receiver).await;
    for step in 1..=3 {
        node.script.allow_steps(1);
        receiver.calls(step).await;
    }
    assert_eq!(steps_told(&receiver.calls(3).await), [1, 2, 3]);
}

#[tokio::test]
async fn who_listens_slowly_is_told_the_newest_and_at_the_end_only_the_end() {
    let (node, receiver) = (node_that_tells_logs_every(Duration::ZERO), Receiver::start(&[]).await);
    receiver.hold();
    a_hundred_steps(&node, &receiver).await;
    node.script.allow_steps(1);
    receiver.calls(1).await;
    node.script.allow_steps(49);
    until_steps(&node, 50).await;
    receiver.let_one_go();
    assert_eq!(steps_told(&receiver.calls(2).await), [1, 50]);
    node.script.let_go();
    until_steps(&node, 100).await;
    receiver.let_go();
    idle(&node).await;
    assert_eq!(steps_told(&receiver.calls(3).await), [1, 50, 101]);
}

/// Waits until so many steps were made and, of the last, until the end.
async fn until_steps(node: &TestNode, count: usize) {
    let is_there = || {
        let view = node.state.jobs.book.list()[0].view();
        view.steps.len() == count && (count < 100 || view.end.is_some())
    };
    while !is_there() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn output_alone_says_nothing_of_a_failure() {
    let (node, receiver) = (node(), Receiver::start(&[]).await);
    for (prompt, filter) in [("fail", "output"), ("a fish", "output"), ("fail", "completed")] {
        let mut body = asking(prompt, &receiver.url);
        body["webhook_events_filter"] = json!([filter]);
        predict(&node, body).await;
        idle(&node).await;
    }
    assert_eq!(statuses(&receiver.calls(2).await), ["succeeded", "failed"]);
}

#[tokio::test]
async fn an_end_that_is_not_taken_is_told_again_and_a_start_is_not() {
    let (node, receiver) = (node(), Receiver::start(&[500, 500, 500, 204]).await);
    let mut body = asking("a fish", &receiver.url);
    body["webhook_events_filter"] = json!(["start", "completed"]);
    node.script.hold();
    let prediction = predict(&node, body).await;
    until_started(&node, prediction["id"].as_str().unwrap()).await;
    receiver.calls(1).await;
    node.script.let_go();
    idle(&node).await;
    let told = statuses(&receiver.calls(4).await);
    assert_eq!(told, ["processing", "succeeded", "succeeded", "succeeded"]);
    assert!(receiver.is_done());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (node, receiver) = (node(), Receiver::start(&[307, 307, 307]).await);
    run(&node, asking("a fish", &receiver.url)).await;
    idle(&node).await;
    receiver.calls(3).await;
    assert!(receiver.is_done());
}

#[tokio::test]
async fn a_receiver_that_is_gone_costs_the_job_nothing() {
    let node = node();
    let id = run(&node, asking("a fish", "http://127.0.0.1:1/")).await;
    idle(&node).await;
    let status = node.get(&format!("/v2/tiny/status/{id}")).await.json();
    assert_eq!(status["status"], "COMPLETED");
}

#[tokio::test]
async fn a_url_that_will_never_be_called_is_refused_with_the_order() {
    let node = node();
    let answer = node.post("/v2/tiny/run", &asking("a fish", "example.com")).await;
    assert_eq!(answer.runpod_error(400), "webhook must be an absolute URL");
    let path = "/v1/models/chandelle/tiny/predictions";
    let answer = node.post(path, &asking("a fish", "ftp://example.com")).await;
    let problem = answer.problem(422, "invalid_request");
    assert_eq!(problem["detail"], "webhook must start with https://");
    assert_eq!(node.state.jobs.book.list().len(), 0);
}

#[tokio::test]
async fn a_retried_job_tells_of_its_second_end_too() {
    let (node, receiver) = (node(), Receiver::start(&[]).await);
    node.script.fail_next_load();
    let id = run(&node, asking("a fish", &receiver.url)).await;
    idle(&node).await;
    node.post(&format!("/v2/tiny/retry/{id}"), &json!({})).await;
    let calls = receiver.calls(2).await;
    assert_eq!(statuses(&calls), ["FAILED", "COMPLETED"]);
    assert_ne!(calls[0].header("webhook-id"), calls[1].header("webhook-id"));
}
