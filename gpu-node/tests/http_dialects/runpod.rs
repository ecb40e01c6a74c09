//! RunPod's serverless routes, and the traps that its official clients set.

use std::time::Duration;

use axum::http::{StatusCode, header};
use serde_json::{Value, json};

use super::{
    asking, names, post_with, run,
    support::{Settings, TOKEN, TestNode, request},
    until_started,
};

async fn status(node: &TestNode, id: &str) -> Value {
    let answer = node.get(&format!("/v2/tiny/status/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Waits for the end.
async fn end(node: &TestNode, id: &str) -> Value {
    let answer = node.get(&format!("/v2/tiny/status-sync/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn run_sync(node: &TestNode, body: Value) -> Value {
    let answer = node.post("/v2/tiny/runsync", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn run_answers_an_id_and_its_place_in_the_queue_with_200() {
    let node = TestNode::start();
    node.script.hold();
    run(&node, asking("a bird")).await;
    let answer = node.post("/v2/tiny/run", &asking("a fish")).await;
    assert_eq!(answer.status, StatusCode::OK, "another 2xx is a failure for RunPod's clients");
    let body = answer.json();
    assert_eq!(names(&body), ["id", "status"]);
    assert_eq!(body["status"], "IN_QUEUE");
    let id = body["id"].as_str().unwrap();
    assert_eq!((id.len(), id.ends_with("-u1")), (39, true), "{id}");
}

#[tokio::test]
async fn run_says_in_queue_though_the_job_has_ended_already() {
    let node = TestNode::start();
    let answer = node.post("/v2/tiny/run", &json!({ "input": { "hue": 3 } })).await.json();
    assert_eq!(answer["status"], "IN_QUEUE");
    assert_eq!(status(&node, answer["id"].as_str().unwrap()).await["status"], "FAILED");
}

#[tokio::test]
async fn runsync_answers_the_pictures_as_data_urls() {
    let node = TestNode::start();
    let input = json!({ "prompt": "a fish", "seed": 7, "num_images": 2, "output_format": "webp" });
    let body = run_sync(&node, json!({ "input": input })).await;
    assert_eq!(names(&body), ["delayTime", "executionTime", "id", "output", "status"]);
    assert_eq!(body["status"], "COMPLETED");
    assert!(body["id"].as_str().unwrap().starts_with("sync-"), "{body}");
    assert!(body["delayTime"].is_u64() && body["executionTime"].is_u64());
    let output = json!({
        "images": ["data:image/webp;base64,YSBmaXNoICM3", "data:image/webp;base64,YSBmaXNoICM4"],
        "seed": 7, "seeds": [7, 8], "width": 128, "height": 128,
        "model": "tiny", "model_revision": "r1",
    });
    assert_eq!(body["output"], output);
}

#[tokio::test]
async fn runsync_says_where_the_job_stands_when_the_wait_is_over() {
    let node = TestNode::start();
    node.script.hold();
    run(&node, asking("a bird")).await;
    tokio::time::pause();
    let answer = node.post("/v2/tiny/runsync?wait=1000", &asking("a fish")).await;
    let body = answer.json();
    assert_eq!((answer.status, names(&body)), (StatusCode::OK, vec!["id", "status"]));
    assert_eq!(body["status"], "IN_QUEUE");
    let id = body["id"].as_str().unwrap();
    let answer = node.get(&format!("/v2/tiny/status-sync/{id}?wait=1000")).await.json();
    assert_eq!(answer, body);
}

#[tokio::test]
async fn a_wait_that_is_no_number_is_refused_before_anything_runs() {
    let node = TestNode::start();
    let answer = node.post("/v2/tiny/runsync?wait=soon", &asking("a fish")).await;
    assert_eq!(answer.runpod_error(400), "wait must be a number of milliseconds");
    assert_eq!(node.state.jobs.book.list().len(), 0);
}

#[tokio::test]
async fn progress_is_the_output_of_a_job_that_runs() {
    let node = TestNode::start();
    node.script.hold();
    let id = run(&node, asking("a fish")).await;
    node.script.allow_steps(1);
    node.follow(&format!("/v1/jobs/{id}"), None).await.until("progress").await;
    let body = status(&node, &id).await;
    assert_eq!(names(&body), ["delayTime", "id", "output", "status"]);
    assert_eq!(body["status"], "IN_PROGRESS");
    assert_eq!(body["output"], json!({ "progress": 33, "step": 1, "steps": 3 }));
}

#[tokio::test]
async fn a_stream_is_an_object_whose_list_is_there_even_when_it_is_empty() {
    let node = TestNode::start();
    node.script.hold();
    run(&node, asking("a bird")).await;
    let id = run(&node, asking("a fish")).await;
    tokio::time::pause();
    let body = node.get(&format!("/v2/tiny/stream/{id}")).await.json();
    assert_eq!(body, json!({ "status": "IN_QUEUE", "stream": [] }));
}

#[tokio::test]
async fn a_stream_gives_each_chunk_once_and_then_the_end() {
    let node = TestNode::start();
    let id = run(&node, asking("a fish")).await;
    end(&node, &id).await;
    let path = format!("/v2/tiny/stream/{id}");
    let body = node.get(&path).await.json();
    let image = json!({ "image": "data:image/png;base64,YSBmaXNoICM3", "index": 0, "seed": 7 });
    assert_eq!(body["status"], "COMPLETED");
    assert_eq!(body["stream"][0], json!({ "output": { "progress": 33, "step": 1, "steps": 3 } }));
    assert_eq!(body["stream"][3], json!({ "output": image }));
    assert_eq!(node.get(&path).await.json(), json!({ "status": "COMPLETED", "stream": [] }));
}

#[tokio::test]
async fn the_stream_of_a_cancelled_job_ends_for_the_python_client() {
    let node = TestNode::start();
    node.script.hold();
    let id = run(&node, asking("a fish")).await;
    until_started(&node, &id).await;
    node.post(&format!("/v2/tiny/cancel/{id}"), &json!({})).await;
    let body = node.get(&format!("/v2/tiny/stream/{id}")).await.json();
    assert_eq!(body, json!({ "status": "FAILED", "stream": [] }), "it does not know CANCELLED");
    assert_eq!(status(&node, &id).await["status"], "CANCELLED");
}

#[tokio::test]
async fn a_job_is_cancelled_at_once_though_its_engine_hears_later() {
    let node = TestNode::start();
    node.script.hold();
    let id = run(&node, asking("a fish")).await;
    until_started(&node, &id).await;
    // The clients send no body, or an empty object.
    let answer = node.send(request("POST", &format!("/v2/tiny/cancel/{id}"), None)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["id"], id.as_str());
    assert_eq!(answer.json()["status"], "CANCELLED");
    node.script.let_go();
    assert_eq!(end(&node, &id).await["status"], "CANCELLED");
    let again = node.post(&format!("/v2/tiny/cancel/{id}"), &json!({})).await;
    assert_eq!(
        (again.status, again.json()["status"].clone()),
        (StatusCode::OK, "CANCELLED".into())
    );
}

#[tokio::test]
async fn routes_that_clients_give_three_seconds_wait_for_no_engine() {
    let node = TestNode::start();
    node.script.hold();
    let id = run(&node, asking("a fish")).await;
    until_started(&node, &id).await;
    tokio::time::pause();
    let asked = tokio::time::Instant::now();
    let waiting = run(&node, asking("a bird")).await;
    for path in ["health", &format!("status/{id}"), &format!("status/{waiting}")] {
        assert_eq!(node.get(&format!("/v2/tiny/{path}")).await.status, 200, "{path}");
    }
    for path in ["purge-queue", &format!("cancel/{id}"), &format!("cancel/{waiting}")] {
        assert_eq!(node.post(&format!("/v2/tiny/{path}"), &json!({})).await.status, 200, "{path}");
    }
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn cancelling_what_is_done_changes_nothing() {
    let node = TestNode::start();
    let id = run(&node, asking("a fish")).await;
    end(&node, &id).await;
    let body = node.post(&format!("/v2/tiny/cancel/{id}"), &json!({})).await.json();
    assert_eq!(names(&body), ["delayTime", "executionTime", "id", "status"]);
    assert_eq!(body["status"], "COMPLETED");
}

#[tokio::test]
async fn what_failed_can_be_retried_under_its_id() {
    let node = TestNode::start();
    node.script.fail_next_load();
    let id = run(&node, asking("a fish")).await;
    let failed = end(&node, &id).await;
    assert_eq!(failed["status"], "FAILED");
    assert!(failed["error"].as_str().unwrap().contains("could not be loaded"), "{failed}");
    let answer = node.post(&format!("/v2/tiny/retry/{id}"), &json!({})).await;
    assert_eq!(answer.json(), json!({ "id": id, "status": "IN_QUEUE" }));
    let done = end(&node, &id).await;
    assert_eq!((&done["status"], &done["output"]["seed"]), (&json!("COMPLETED"), &json!(7)));
    let refused = node.post(&format!("/v2/tiny/retry/{id}"), &json!({})).await;
    assert_eq!(refused.runpod_error(400), "only a job that failed or timed out can run again");
}

#[tokio::test]
async fn purging_removes_who_waits_and_lets_run_what_runs() {
    let node = TestNode::start();
    node.script.hold();
    let running = run(&node, asking("a fish")).await;
    until_started(&node, &running).await;
    let waiting = [run(&node, asking("a bird")).await, run(&node, asking("a cat")).await];
    let answer = node.send(request("POST", "/v2/tiny/purge-queue", None)).await;
    assert_eq!(answer.json(), json!({ "removed": 2, "status": "completed" }));
    for id in &waiting {
        assert_eq!(status(&node, id).await["status"], "CANCELLED");
    }
    node.script.let_go();
    assert_eq!(end(&node, &running).await["status"], "COMPLETED");
}

#[tokio::test]
async fn health_counts_jobs_and_the_one_worker() {
    let node = TestNode::start();
    run_sync(&node, asking("a fish")).await;
    run_sync(&node, asking("fail")).await;
    node.script.hold();
    let id = run(&node, asking("a fish")).await;
    until_started(&node, &id).await;
    run(&node, asking("a bird")).await;
    let body = node.get("/v2/tiny/health").await.json();
    let jobs = json!({ "completed": 1, "failed": 1, "inProgress": 1, "inQueue": 1, "retried": 0 });
    assert_eq!(body["jobs"], jobs);
    let workers = json!({
        "idle": 0, "initializing": 0, "ready": 1, "running": 1, "throttled": 0, "unhealthy": 0
    });
    assert_eq!(body["workers"], workers);
}

#[tokio::test]
async fn results_are_kept_half_an_hour_and_those_of_runsync_a_minute() {
    let node = TestNode::start();
    let id = run(&node, asking("a fish")).await;
    end(&node, &id).await;
    let sync = run_sync(&node, asking("a fish")).await;
    let sync = format!("/v2/tiny/status/{}", sync["id"].as_str().unwrap());
    node.clock.advance(Duration::from_secs(60));
    assert_eq!(node.get(&sync).await.status, 200);
    node.clock.advance(Duration::from_secs(1));
    node.get(&sync).await.runpod_error(404);
    node.clock.advance(Duration::from_secs(1800 - 61));
    assert_eq!(status(&node, &id).await["status"], "COMPLETED");
    node.clock.advance(Duration::from_secs(1));
    node.get(&format!("/v2/tiny/status/{id}")).await.runpod_error(404);
}

#[tokio::test]
async fn an_input_the_model_cannot_take_is_a_job_that_failed() {
    let node = TestNode::with_texts();
    let cases = [
        (json!({ "hue": 3 }), "input is not valid: prompt is required; hue is not a known field"),
        // What RunPod's Python client makes of an empty input.
        (
            json!({ "input": {} }),
            "input is not valid: prompt is required; input is not a known field",
        ),
        (
            json!({ "prompt": "x", "width": 100 }),
            "input is not valid: width must be a multiple of 64 for this model",
        ),
        (json!("a fish"), "input must be an object"),
    ];
    for (input, error) in cases {
        let answer = run_sync(&node, json!({ "input": input })).await;
        assert_eq!((&answer["status"], &answer["error"]), (&json!("FAILED"), &json!(error)));
        assert_eq!(status(&node, answer["id"].as_str().unwrap()).await["status"], "FAILED");
    }
    let answer = node.post("/v2/talker/runsync", &asking("x")).await.json();
    let error = "the endpoint's model is one of text: ask it below /openai/v1";
    assert_eq!((&answer["status"], &answer["error"]), (&json!("FAILED"), &json!(error)));
}

#[tokio::test]
async fn a_request_that_is_wrong_itself_is_400_and_starts_nothing() {
    let node = TestNode::start();
    let s3 = json!({ "accessId": "a", "accessSecret": "b", "bucketName": "c", "endpointUrl": "d" });
    let cases = [
        (json!({ "prompt": "x" }), "input is required; prompt is not a known field"),
        (
            json!({ "input": {}, "policy": { "ttl": 1 } }),
            "policy.ttl must be between 10000 and 604800000",
        ),
        (
            json!({ "input": {}, "s3Config": s3 }),
            "s3Config is not supported: this node holds no keys; fetch results from it",
        ),
        (
            json!({ "input": {}, "webhook": "https://example.com" }),
            "webhook is not supported: this node calls nobody",
        ),
    ];
    for (body, error) in cases {
        assert_eq!(node.post("/v2/tiny/run", &body).await.runpod_error(400), error);
    }
    assert_eq!(node.state.jobs.book.list().len(), 0);
}

#[tokio::test]
async fn an_endpoint_or_a_job_that_is_not_there_is_404() {
    let node = TestNode::with(Settings { models: &["tiny", "other"], ..Settings::default() });
    node.post("/v2/huge/run", &asking("x")).await.runpod_error(404);
    node.get("/v2/huge/health").await.runpod_error(404);
    node.get("/v2/tiny/status/7").await.runpod_error(404);
    let id = run(&node, asking("a fish")).await;
    node.get(&format!("/v2/other/status/{id}")).await.runpod_error(404);
    node.post(&format!("/v2/other/cancel/{id}"), &json!({})).await.runpod_error(404);
}

#[tokio::test]
async fn the_bare_key_opens_the_door_as_the_bearer_token_does() {
    let node = TestNode::start();
    for (value, expected) in
        [(TOKEN.to_owned(), 200), (format!("Bearer {TOKEN}"), 200), ("x".into(), 401)]
    {
        let mut request = request("GET", "/v2/tiny/health", None);
        request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        assert_eq!(node.send(request).await.status.as_u16(), expected, "{value}");
    }
}

#[tokio::test]
async fn a_full_queue_is_429_with_the_time_to_wait() {
    let node = TestNode::with(Settings { queue_capacity: 1, ..Settings::default() });
    node.script.hold();
    let running = run(&node, asking("a fish")).await;
    until_started(&node, &running).await;
    run(&node, asking("a bird")).await;
    let answer = node.post("/v2/tiny/run", &asking("a cat")).await;
    assert_eq!(answer.runpod_error(429), "the model's queue is full");
    assert_eq!(answer.header("retry-after"), "5");
    // Over plain HTTP the Python client sends it again by itself.
    assert_eq!(node.state.jobs.book.list().len(), 2, "what was refused left nothing behind");
}

#[tokio::test]
async fn run_takes_ten_mebibytes_and_runsync_twenty() {
    let node = TestNode::start();
    let large = |mebibytes: usize| json!({ "input": { "prompt": "x".repeat(mebibytes << 20) } });
    assert_eq!(run_sync(&node, large(11)).await["status"], "FAILED", "the prompt is too long");
    run(&node, large(9)).await;
    node.post("/v2/tiny/run", &large(10)).await.runpod_error(413);
    node.post("/v2/tiny/runsync", &large(20)).await.runpod_error(413);
}

#[tokio::test]
async fn the_job_id_that_the_async_client_sends_as_request_id_comes_back() {
    let node = TestNode::start();
    let id = run(&node, asking("a fish")).await;
    let cancel = format!("/v2/tiny/cancel/{id}");
    let answer = post_with(&node, &cancel, ("x-request-id", &id), json!({})).await;
    assert_eq!(answer.header("x-request-id"), id);
}

#[tokio::test]
async fn openais_routes_are_served_below_an_endpoint() {
    let node = TestNode::with_texts();
    let models = node.get("/v2/talker/openai/v1/models").await.json();
    assert_eq!(models["data"].as_array().unwrap().len(), 1);
    assert_eq!(models["data"][0]["id"], "talker");
    let chat = json!({ "model": "talker", "messages": [{ "role": "user", "content": "hello" }] });
    let path = "/v2/talker/openai/v1/chat/completions";
    let answer = node.post(path, &chat).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["object"], "chat.completion");
    let answer = node.post(path, &json!({ "model": "huge", "messages": chat["messages"] })).await;
    answer.openai_error(404, "model_not_found");
    let answer = node.post("/v2/huge/openai/v1/chat/completions", &chat).await;
    answer.openai_error(404, "not_found");
}
