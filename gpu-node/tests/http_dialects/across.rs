//! One job, looked up in every dialect, whichever it was ordered in.

use serde_json::{Value, json};

use super::{
    asking, predict, run,
    support::{TestNode, job_id, job_path, order},
    until_started,
};

const PNG: &str = "data:image/png;base64,YSBmaXNoICM3";

async fn statuses(node: &TestNode, id: &str) -> [Value; 3] {
    let native = node.get(&format!("/v1/jobs/{id}")).await.json();
    let runpod = node.get(&format!("/v2/tiny/status/{id}")).await.json();
    let replicate = node.get(&format!("/v1/predictions/{id}")).await.json();
    [native, runpod, replicate]
}

fn names_of(statuses: &[Value; 3]) -> [&str; 3] {
    statuses.each_ref().map(|body| body["status"].as_str().unwrap())
}

/// Asks with each spelling of the id that the answers themselves have.
async fn assert_done_everywhere(node: &TestNode, id: &str) {
    let first = statuses(node, id).await;
    for id in first.each_ref().map(|body| body["id"].as_str().unwrap()) {
        let bodies = statuses(node, id).await;
        assert_eq!(names_of(&bodies), ["completed", "COMPLETED", "succeeded"]);
        assert_eq!(bodies[1]["output"]["images"], json!([PNG]));
        assert_eq!(bodies[2]["input"]["prompt"], "a fish");
        let file = bodies[2]["output"][0].as_str().unwrap().strip_prefix("http://localhost");
        assert_eq!(node.get(file.unwrap()).await.text(), "a fish #7");
        assert_eq!(node.get(&format!("/v1/jobs/{id}/artifacts/0")).await.text(), "a fish #7");
        assert_eq!(
            bodies.map(|body| body["id"].clone()),
            first.clone().map(|body| body["id"].clone())
        );
    }
}

#[tokio::test]
async fn a_native_job_is_known_to_runpod_and_replicate() {
    let node = TestNode::start();
    let job = node.order(1, "a fish").await;
    node.end_of(&job).await;
    assert_done_everywhere(&node, &job_id(1)).await;
    let bodies = statuses(&node, &job_id(1)).await;
    assert_eq!(bodies[1]["id"], format!("{}-u1", job_id(1)));
}

#[tokio::test]
async fn a_runpod_job_is_known_to_the_node_and_replicate() {
    let node = TestNode::start();
    let id = run(&node, asking("a fish")).await;
    node.end_of(&format!("/v1/jobs/{id}")).await;
    assert_done_everywhere(&node, &id).await;
    let sync = node.post("/v2/tiny/runsync", &asking("a fish")).await.json();
    assert_done_everywhere(&node, sync["id"].as_str().unwrap()).await;
}

#[tokio::test]
async fn a_prediction_is_known_to_the_node_and_runpod() {
    let node = TestNode::start();
    let prediction = predict(&node, asking("a fish")).await;
    let id = prediction["id"].as_str().unwrap();
    node.end_of(&format!("/v1/jobs/{id}")).await;
    assert_done_everywhere(&node, id).await;
}

#[tokio::test]
async fn a_job_is_cancelled_in_one_dialect_for_all() {
    let node = TestNode::start();
    node.script.hold();
    let running = run(&node, asking("a bird")).await;
    until_started(&node, &running).await;
    let cancelled = ["cancelled", "CANCELLED", "canceled"];
    let id = run(&node, asking("a fish")).await;
    node.post(&format!("/v1/predictions/{id}/cancel"), &json!({})).await;
    assert_eq!(names_of(&statuses(&node, &id).await), cancelled);
    let prediction = predict(&node, asking("a fish")).await;
    let id = prediction["id"].as_str().unwrap();
    node.post(&format!("/v2/tiny/cancel/{id}"), &json!({})).await;
    assert_eq!(names_of(&statuses(&node, id).await), cancelled);
    node.order(1, "a fish").await;
    node.delete(&job_path(1)).await;
    assert_eq!(names_of(&statuses(&node, &job_id(1)).await), cancelled);
}

#[tokio::test]
async fn a_failure_reads_the_same_in_every_dialect() {
    let node = TestNode::start();
    let id = run(&node, asking("ask too much")).await;
    node.end_of(&format!("/v1/jobs/{id}")).await;
    let bodies = statuses(&node, &id).await;
    assert_eq!(names_of(&bodies), ["failed", "FAILED", "failed"]);
    assert_eq!(bodies[1]["error"], "too many fish");
    assert_eq!(bodies[2]["error"], "too many fish");
}

#[tokio::test]
async fn all_dialects_wait_in_one_queue() {
    let node = TestNode::start();
    node.script.hold();
    let running = run(&node, asking("a fish")).await;
    until_started(&node, &running).await;
    let prediction = predict(&node, asking("a bird")).await;
    node.create_job(&order(1, "a cat")).await;
    let position = node.get(&job_path(1)).await.json()["queue_position"].clone();
    assert_eq!(position, 2);
    let health = node.get("/v2/tiny/health").await.json();
    assert_eq!(health["jobs"]["inQueue"], 2);
    let listed = node.get("/v1/predictions").await.json();
    assert_eq!(listed["results"].as_array().unwrap().len(), 3);
    assert_eq!(listed["results"][1]["id"], prediction["id"]);
}
