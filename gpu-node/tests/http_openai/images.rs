//! Pictures from words, whole and as a stream.

use std::time::Duration;

use axum::{
    body::to_bytes,
    http::{StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::StreamExt;
use serde_json::{Value, json};
use shared::limits::PROMPT_MAX_CHARS;

use super::{
    IMAGES, picture,
    support::{Settings, TestNode, request},
};

pub(super) fn text_of(base64: &Value) -> String {
    String::from_utf8(STANDARD.decode(base64.as_str().unwrap()).unwrap()).unwrap()
}

/// The name and the data of every event of a stream.
pub(super) fn events_of(text: &str) -> Vec<(String, Value)> {
    let event = |block: &str| {
        let line = |name| block.lines().find_map(|line| line.strip_prefix(name));
        let data = serde_json::from_str(line("data: ")?).unwrap();
        Some((line("event: ").unwrap_or_default().to_owned(), data))
    };
    text.split("\n\n").filter_map(event).collect()
}

#[tokio::test]
async fn several_pictures_are_one_job_and_the_answer_is_openais() {
    let node = TestNode::with_texts();
    let answer = node.post(IMAGES, &picture(json!({ "n": 2, "output_format": "webp" }))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let mut body = answer.json();
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
    body["created"] = json!(1);
    // 128 x 128 pixels are 64 patches of 16 x 16, the prompt has 6 characters.
    let expected = json!({
        "created": 1, "background": "opaque", "output_format": "webp", "quality": "medium", "size": "128x128",
        "data": [
            { "b64_json": STANDARD.encode("a fish #7"), "seed": 7 },
            { "b64_json": STANDARD.encode("a fish #8"), "seed": 8 },
        ],
        "usage": {
            "input_tokens": 2, "input_tokens_details": { "image_tokens": 0, "text_tokens": 2 },
            "output_tokens": 128, "output_tokens_details": { "image_tokens": 128, "text_tokens": 0 },
            "total_tokens": 130,
        },
    });
    assert_eq!(body, expected);
    assert_eq!(node.script.runs(), 1);

    let job = format!("/v1/jobs/{}", answer.header("x-job-id"));
    assert_eq!(node.status_of(&job).await, "completed");
    let artifact = node.get(&format!("{job}/artifacts/1")).await;
    assert_eq!((artifact.text(), artifact.header("content-type")), ("a fish #8", "image/webp"));
}

#[tokio::test]
async fn pictures_are_told_by_address_when_asked_for() {
    let node = TestNode::start();
    let wanted = json!({ "n": 10, "output_format": "jpeg", "response_format": "url" });
    let answer = node.post(IMAGES, &picture(wanted)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let body = answer.json();
    let pictures = body["data"].as_array().unwrap();
    assert_eq!(pictures.len(), 10);
    let last = pictures[9].as_object().unwrap();
    assert_eq!(last.len(), 2, "{last:?}");
    assert_eq!(last["seed"], 16);
    let url = last["url"].as_str().unwrap().strip_prefix("http://localhost").unwrap();
    assert!(url.starts_with("/v1/files/") && url.ends_with("/9.jpg"), "{url}");
    let job = node.state.jobs.book.list().remove(0);
    assert!(job.has_unfetched(), "a node that leaves waits for who comes for the files");
    let mut bare = request("GET", url, None);
    bare.headers_mut().remove(header::AUTHORIZATION);
    let file = node.send(bare).await;
    assert_eq!((file.text(), file.header("content-type")), ("a fish #16", "image/jpeg"));
    node.clock.advance(Duration::from_secs(601));
    node.get(url).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_a_body_leaves_open_is_the_models_and_what_it_says_wins() {
    let node = TestNode::with_texts();
    let steps = |body: Value| {
        let node = &node;
        async move {
            let answer = node.post(IMAGES, &body).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            let job = format!("/v1/jobs/{}", answer.header("x-job-id"));
            let events = node.follow(&job, None).await.rest().await;
            let steps = events.iter().filter(|event| event.name == "progress").count();
            (steps, answer.json()["quality"].clone(), answer.json()["size"].clone())
        }
    };
    for (rest, expected) in [
        (json!({}), (3, json!("medium"), json!("128x128"))),
        (json!({ "quality": "auto", "size": "auto" }), (3, json!("medium"), json!("128x128"))),
        (json!({ "quality": "low", "size": "64x192" }), (2, json!("low"), json!("64x192"))),
        (json!({ "quality": "hd", "n": null }), (5, json!("high"), json!("128x128"))),
        (json!({ "steps": 1, "output_compression": 100 }), (1, Value::Null, json!("128x128"))),
    ] {
        assert_eq!(steps(picture(rest.clone())).await, expected, "{rest}");
    }
    let bare = json!({ "model": "tiny", "prompt": "two\nlines" });
    let seeds = [node.post(IMAGES, &bare).await, node.post(IMAGES, &bare).await]
        .map(|answer| answer.json()["data"][0]["seed"].as_u64().unwrap());
    assert_ne!(seeds[0], seeds[1], "a seed that nobody chose is random");
}

#[tokio::test]
async fn every_rule_names_its_parameter() {
    let node = TestNode::with_texts();
    for (rest, param, code) in [
        (json!({ "prompt": null }), "prompt", "missing_required_parameter"),
        (json!({ "prompt": " " }), "prompt", "invalid_value"),
        (json!({ "prompt": "x".repeat(PROMPT_MAX_CHARS + 1) }), "prompt", "invalid_value"),
        (json!({ "model": null }), "model", "missing_required_parameter"),
        (json!({ "n": 0 }), "n", "invalid_value"),
        (json!({ "n": 11 }), "n", "invalid_value"),
        (json!({ "n": "2" }), "n", "invalid_type"),
        (json!({ "size": "big" }), "size", "invalid_value"),
        (json!({ "size": "128" }), "size", "invalid_value"),
        (json!({ "size": "+128x128" }), "size", "invalid_value"),
        (json!({ "size": "100x128" }), "size", "invalid_value"),
        (json!({ "size": "128x2048" }), "size", "invalid_value"),
        (json!({ "quality": "max" }), "quality", "invalid_value"),
        (json!({ "quality": "low", "steps": 2 }), "quality", "invalid_value"),
        (json!({ "response_format": "png" }), "response_format", "invalid_value"),
        (json!({ "response_format": "url", "stream": true }), "response_format", "invalid_value"),
        (json!({ "output_format": "gif" }), "output_format", "invalid_value"),
        (json!({ "output_compression": 50 }), "output_compression", "invalid_value"),
        (json!({ "output_compression": 101 }), "output_compression", "invalid_value"),
        (json!({ "background": "transparent" }), "background", "invalid_value"),
        (json!({ "moderation": "auto" }), "moderation", "invalid_value"),
        (json!({ "style": "vivid" }), "style", "unsupported_parameter"),
        (json!({ "partial_images": 1 }), "partial_images", "invalid_value"),
        (json!({ "partial_images": 4, "stream": true }), "partial_images", "invalid_value"),
        (json!({ "stream": "yes" }), "stream", "invalid_type"),
        (json!({ "seed": -1 }), "seed", "invalid_value"),
        (json!({ "scheduler": "magic" }), "scheduler", "invalid_value"),
        (json!({ "strength": 0.5 }), "strength", "unknown_parameter"),
        (json!({ "image": "x" }), "image", "unknown_parameter"),
    ] {
        let answer = node.post(IMAGES, &picture(rest.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{rest}");
        let error = answer.openai_error(400, code);
        assert_eq!(error["param"], param, "{rest}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    let answer = node.post(IMAGES, &picture(json!({ "size": "100x4096" }))).await;
    let error = answer.openai_error(400, "invalid_value");
    assert_eq!(error["message"], "'size' must be \"auto\" or WIDTHxHEIGHT, each at most 2048");
    let answer = node.post(IMAGES, &picture(json!({ "size": "100x32" }))).await;
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("has a width that must be a multiple of 64"), "{message}");
    assert!(message.contains("has a height that must be between 64 and 1024"), "{message}");
    assert_eq!(node.script.runs(), 0);
}

#[tokio::test]
async fn a_stream_has_exactly_openais_events() {
    let node = TestNode::with_texts();
    let body = picture(json!({ "stream": true, "partial_images": 2, "output_format": "jpeg" }));
    let answer = node.post(IMAGES, &body).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, "text/event-stream")
    );
    assert_ne!(answer.header("x-job-id"), "");
    assert!(!answer.text().contains("[DONE]"));
    let mut events = events_of(answer.text());
    for (_, data) in &mut events {
        assert!(data["created_at"].as_u64().unwrap() > 1_700_000_000);
        data["created_at"] = json!(1);
    }
    let partial = |index: u32| {
        json!({
            "type": "image_generation.partial_image", "b64_json": STANDARD.encode(format!("0 after {}", index + 1)),
            "background": "opaque", "created_at": 1, "output_format": "jpeg", "partial_image_index": index,
            "quality": "medium", "size": "128x128",
        })
    };
    let completed = json!({
        "type": "image_generation.completed", "b64_json": STANDARD.encode("a fish #7"),
        "background": "opaque", "created_at": 1, "output_format": "jpeg", "quality": "medium",
        "size": "128x128", "seed": 7,
        "usage": {
            "input_tokens": 2, "input_tokens_details": { "image_tokens": 0, "text_tokens": 2 },
            "output_tokens": 64, "output_tokens_details": { "image_tokens": 64, "text_tokens": 0 },
            "total_tokens": 66,
        },
    });
    let expected = [partial(0), partial(1), completed]
        .map(|data| (data["type"].as_str().unwrap().to_owned(), data));
    assert_eq!(events, expected);
}

#[tokio::test]
async fn several_pictures_of_a_stream_are_told_apart() {
    let node = TestNode::with_texts();
    let body = picture(json!({ "stream": true, "partial_images": 1, "n": 2, "steps": 3 }));
    let events = events_of(node.post(IMAGES, &body).await.text());
    let found: Vec<_> = events
        .iter()
        .map(|(name, data)| {
            let name = name.strip_prefix("image_generation.").unwrap();
            (name, data["index"].as_u64().unwrap(), text_of(&data["b64_json"]))
        })
        .collect();
    let expected = [
        ("partial_image", 0, "0 after 1"),
        ("partial_image", 1, "1 after 1"),
        ("completed", 0, "a fish #7"),
        ("completed", 1, "a fish #8"),
    ];
    assert_eq!(found, expected.map(|(name, index, text)| (name, index, text.to_owned())));
    assert_eq!(events[1].1["partial_image_index"], 0);
    assert_eq!(events[1].1["quality"], "auto", "who counts steps chooses no quality");
}

#[tokio::test]
async fn a_run_that_fails_says_so_in_either_form() {
    let node = TestNode::with_texts();
    for (prompt, status, code, message) in [
        ("break", 500, "internal_error", "something went wrong on this node"),
        ("ask too much", 400, "invalid_value", "too many fish"),
        ("run out of memory", 503, "service_unavailable", "out of memory: 1 GB more"),
    ] {
        let answer = node.post(IMAGES, &picture(json!({ "prompt": prompt }))).await;
        assert_eq!(answer.openai_error(status, code)["message"], message);
        assert_ne!(answer.header("x-job-id"), "");
        let body = picture(json!({ "prompt": prompt, "stream": true }));
        let events = events_of(node.post(IMAGES, &body).await.text());
        assert_eq!(events.len(), 1);
        assert_eq!(
            (&events[0].1["error"]["message"], &events[0].1["error"]["code"]),
            (&json!(message), &json!(code))
        );
    }
    let node = TestNode::start();
    node.script.fail_next_load();
    let error = node.post(IMAGES, &picture(json!({}))).await;
    let error = error.openai_error(503, "service_unavailable");
    assert_eq!(error["message"], "the model tiny could not be loaded: the weights are torn");
}

#[tokio::test]
async fn a_full_lane_is_429_and_a_leaving_node_503() {
    let node = TestNode::with(Settings { queue_capacity: 1, ..Settings::default() });
    node.script.hold();
    node.run(1, "a fish").await;
    node.order(2, "a fish").await;
    for stream in [false, true] {
        let answer = node.post(IMAGES, &picture(json!({ "stream": stream }))).await;
        let error = answer.openai_error(429, "rate_limit_exceeded");
        assert_eq!(
            (&error["type"], answer.header("retry-after")),
            (&json!("rate_limit_error"), "5")
        );
    }
    node.state.jobs.close();
    let answer = node.post(IMAGES, &picture(json!({}))).await;
    answer.openai_error(503, "service_unavailable");
    assert_eq!(answer.header("retry-after"), "10");
}

#[tokio::test]
async fn hanging_up_cancels_the_job_wherever_it_is() {
    let node = TestNode::with(Settings { queue_capacity: 1, ..Settings::default() });
    node.script.hold();
    let endless =
        picture(json!({ "prompt": "go on for ever", "stream": true, "partial_images": 1 }));
    let mut running = node.open(IMAGES, &endless).await.into_data_stream();
    node.script.allow_steps(1);
    let first = running.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: image_generation.partial_image"), "{first:?}");

    let waiting = node.open(IMAGES, &endless).await;
    let refused = node.post(IMAGES, &picture(json!({}))).await;
    refused.openai_error(429, "rate_limit_exceeded");
    drop(waiting);
    let job = node.order(1, "a fish").await;
    drop(running);
    node.script.let_go();
    assert_eq!(node.end_of(&job).await["event"], "completed", "both places are free");
    node.state.jobs.book.wait_until_idle().await;
    assert_eq!(node.script.runs(), 2, "who waited never ran");
}

#[tokio::test]
async fn who_gives_up_on_a_whole_answer_cancels_it_too() {
    let node = TestNode::start();
    node.script.hold();
    let body = picture(json!({ "prompt": "go on for ever" }));
    tokio::select! {
        answer = node.post(IMAGES, &body) => panic!("it was answered: {}", answer.text()),
        () = node.script.until_runs(1) => {}
    }
    node.script.let_go();
    node.state.jobs.book.wait_until_idle().await;
}

#[tokio::test]
async fn a_drain_that_waits_no_longer_is_503() {
    let node = TestNode::start();
    node.script.hold();
    let leave = async {
        node.script.until_runs(1).await;
        node.state.jobs.stop_running();
        node.script.let_go();
    };
    let body = picture(json!({}));
    let (answer, ()) = tokio::join!(node.post(IMAGES, &body), leave);
    answer.openai_error(503, "service_unavailable");
}

#[tokio::test]
async fn a_job_that_is_deleted_by_its_id_ends_its_stream() {
    let node = TestNode::start();
    node.script.hold();
    let (headers, body) = node.begin(IMAGES, &picture(json!({ "stream": true }))).await;
    let job = format!("/v1/jobs/{}", headers["x-job-id"].to_str().unwrap());
    node.follow(&job, None).await.until("started").await;
    assert_eq!(node.delete(&job).await.status, StatusCode::NO_CONTENT);
    node.script.let_go();
    let text = to_bytes(body, usize::MAX).await.unwrap();
    let events = events_of(std::str::from_utf8(&text).unwrap());
    let error = json!({
        "message": "the job was cancelled", "type": "invalid_request_error", "param": null, "code": "conflict"
    });
    assert_eq!(events, [(String::new(), json!({ "error": error }))]);
}
