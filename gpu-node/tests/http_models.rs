//! How models come into memory and leave it, and what the node says about itself meanwhile.

mod support;

use std::time::Duration;

use axum::http::StatusCode;
use gpu_node::reload::{ReloadPace, keep_needed_loading};
use serde_json::json;
use support::{Settings, TestNode, job_path, order_of, request};

const THREE_MODELS: &[&str] = &["tiny", "second", "third"];

#[tokio::test]
async fn two_orders_for_an_unloaded_model_load_it_once() {
    let node = TestNode::start();
    node.order(1, "a fish").await;
    node.order(2, "a bird").await;
    assert_eq!(node.end_of(&job_path(1)).await["event"], "completed");
    assert_eq!(node.end_of(&job_path(2)).await["event"], "completed");
    assert_eq!(node.script.loads(), ["tiny"]);
}

#[tokio::test]
async fn a_model_that_does_not_load_fails_its_job_and_not_the_node() {
    let node = TestNode::start();
    node.script.fail_next_load();
    node.order(1, "a fish").await;
    let end = node.end_of(&job_path(1)).await;
    assert_eq!((&end["code"], &end["is_retryable"]), (&json!("model_not_loaded"), &json!(true)));
    assert_eq!(end["detail"], "the model tiny could not be loaded: the weights are torn");
    let problem = node.get("/health/ready").await.problem(503, "unavailable");
    assert_eq!(problem["detail"], "the model tiny cannot be loaded: the weights are torn");
    let mut stranger = request("GET", "/health/ready", None);
    stranger.headers_mut().remove("authorization");
    let problem = node.send(stranger).await.problem(503, "unavailable");
    assert_eq!(problem["detail"], "the model tiny cannot be loaded");
    assert_eq!(node.get("/health/live").await.status, StatusCode::OK);

    node.order(1, "a fish").await;
    assert_eq!(node.end_of(&job_path(1)).await["event"], "completed");
    assert_eq!(node.get("/health/ready").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_model_that_did_not_load_is_loaded_again_without_anybody_asking() {
    let node = TestNode::start();
    for _ in 0..3 {
        node.script.fail_next_load();
    }
    node.order(1, "a fish").await;
    assert_eq!(node.end_of(&job_path(1)).await["code"], "model_not_loaded");
    let pace = ReloadPace { first: Duration::from_millis(1), max: Duration::from_millis(4) };
    let watch = tokio::spawn(keep_needed_loading(node.state.jobs.clone(), pace));
    let ready = async {
        while node.get("/health/ready").await.status != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ready).await.unwrap();
    assert_eq!(node.script.loads(), ["tiny"]);
    node.state.jobs.close();
    watch.await.unwrap();
}

#[tokio::test]
async fn a_model_that_nobody_needs_and_fails_again_keeps_no_node_from_its_work() {
    let settings = Settings { models: &["tiny", "second"], ..Default::default() };
    let node = TestNode::with(settings);
    node.script.fail_next_load();
    node.create_job(&order_of(1, "second")).await;
    assert_eq!(node.end_of(&job_path(1)).await["code"], "model_not_loaded");
    node.script.hold_loads();
    node.state.jobs.catalog.find("second").unwrap().control().preload();
    assert_eq!(node.get("/health/ready").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_panic_in_an_engine_fails_that_job_alone_and_the_model_is_loaded_afresh() {
    let node = TestNode::start();
    node.script.hold();
    node.run(1, "a fish").await;
    node.order(2, "panic").await;
    node.order(3, "a bird").await;
    node.script.let_go();
    assert_eq!(node.end_of(&job_path(1)).await["event"], "completed");
    let end = node.end_of(&job_path(2)).await;
    assert_eq!((&end["code"], &end["is_retryable"]), (&json!("engine_panicked"), &json!(true)));
    assert_eq!(node.end_of(&job_path(3)).await["event"], "completed");
    assert_eq!(node.script.loads(), ["tiny", "tiny"]);
    assert_eq!(node.script.unloads(), ["tiny"]);
}

#[tokio::test]
async fn a_node_that_preloads_is_ready_once_its_model_is_in() {
    let node = TestNode::with(Settings { preload: true, ..Default::default() });
    let problem = node.get("/health/ready").await.problem(503, "unavailable");
    assert_eq!(problem["detail"], "the model tiny is being loaded");
    node.script.let_go();
    node.order(1, "a fish").await;
    node.end_of(&job_path(1)).await;
    let ready = node.get("/health/ready").await;
    let expected = json!({ "status": "ready", "device": "cpu", "models_loaded": ["tiny"] });
    assert_eq!((ready.status, ready.json()), (StatusCode::OK, expected));
    assert_eq!(node.script.loads(), ["tiny"]);
}

#[tokio::test]
async fn a_node_without_its_default_model_is_never_ready() {
    let node = TestNode::with(Settings { models: &["second"], ..Default::default() });
    let problem = node.get("/health/ready").await.problem(503, "unavailable");
    assert_eq!(problem["detail"], "there is no model tiny");
}

#[tokio::test]
async fn the_least_recently_used_model_makes_room() {
    let settings = Settings { models: THREE_MODELS, memory_bytes: Some(250), ..Default::default() };
    let node = TestNode::with(settings);
    for (number, model) in [(1, "tiny"), (2, "second"), (3, "tiny"), (4, "third")] {
        node.create_job(&order_of(number, model)).await;
        assert_eq!(node.end_of(&job_path(number)).await["event"], "completed", "{model}");
    }
    assert_eq!(node.script.loads(), ["tiny", "second", "third"]);
    assert_eq!(node.script.unloads(), ["second"]);
}

#[tokio::test]
async fn a_running_model_is_never_unloaded() {
    let settings = Settings { models: THREE_MODELS, memory_bytes: Some(100), ..Default::default() };
    let node = TestNode::with(settings);
    node.script.hold();
    node.run(1, "a fish").await;
    node.create_job(&order_of(2, "second")).await;
    assert_eq!(node.script.unloads(), [""; 0]);
    node.script.let_go();
    for number in [1, 2] {
        assert_eq!(node.end_of(&job_path(number)).await["event"], "completed");
    }
    assert_eq!(node.script.unloads(), ["tiny"]);
}

#[tokio::test]
async fn a_job_that_waits_for_room_can_be_cancelled() {
    let settings = Settings { models: THREE_MODELS, memory_bytes: Some(100), ..Default::default() };
    let node = TestNode::with(settings);
    node.script.hold();
    node.run(1, "a fish").await;
    node.create_job(&order_of(2, "second")).await;
    node.delete(&job_path(2)).await;
    assert_eq!(node.end_of(&job_path(2)).await["event"], "cancelled");
    assert_eq!(node.status_of(&job_path(1)).await, "running");
}

#[tokio::test]
async fn a_model_larger_than_the_budget_is_refused_with_the_reason() {
    let node = TestNode::with(Settings { memory_bytes: Some(99), ..Default::default() });
    node.order(1, "a fish").await;
    let end = node.end_of(&job_path(1)).await;
    let detail = end["detail"].as_str().unwrap();
    assert!(detail.contains("it takes 100 bytes and this node may use 99"), "{detail}");
}

#[tokio::test]
async fn the_list_of_models_says_what_a_bare_order_gets() {
    let node = TestNode::start();
    let models = node.get("/v1/models").await.json();
    let defaults = json!({
        "width": 128, "height": 128, "steps": 3, "guidance": 3.0, "scheduler": "ddim"
    });
    let expected = json!({ "object": "list", "data": [{
        "id": "tiny", "object": "model", "created": node.state.started_at,
        "owned_by": "chandelle", "description": "", "modality": "image",
        "architecture": "fake", "revision": "r1", "licence": "Apache-2.0",
        "memory_bytes": 100, "is_loaded": false, "queued": 0, "image": defaults
    }]});
    assert_eq!(models, expected);
}

#[tokio::test]
async fn the_metrics_count_jobs_by_model_and_outcome() {
    let node = TestNode::start();
    node.order(1, "a fish").await;
    node.end_of(&job_path(1)).await;
    node.order(2, "fail").await;
    node.end_of(&job_path(2)).await;
    let answer = node.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        r#"chandelle_node_jobs_total{model="tiny",outcome="completed"} 1"#,
        r#"chandelle_node_jobs_total{model="tiny",outcome="failed"} 1"#,
        r#"chandelle_node_queue_depth{model="tiny"} 0"#,
        r#"chandelle_node_model_loaded{model="tiny"} 1"#,
        r#"chandelle_node_run_seconds_count{model="tiny"} 1"#,
        r#"chandelle_node_load_seconds_count{model="tiny"} 1"#,
        r#"chandelle_node_http_requests_total{method="POST",route="/v1/jobs",status="201"} 2"#,
        "chandelle_node_artifacts_bytes 9",
        "chandelle_node_resident_memory_bytes ",
    ] {
        assert!(answer.text().contains(line), "{line} is missing in\n{}", answer.text());
    }
}
