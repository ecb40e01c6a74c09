//! What the door turns away: callers without a token, bodies that break rules, paths and methods that are not there.

mod support;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode, header},
};
use futures_util::stream;
use gpu_node::{app::is_openai, http::middleware::PUBLIC_ROUTES};
use serde_json::{Value, json};
use shared::limits::{IMAGE_BODY_MAX_BYTES, JSON_BODY_MAX_BYTES};
use support::{OLD_TOKEN, TestNode, job_id, job_path, order, request};

/// Every route with a method it takes; a new route belongs here.
const ROUTES: &[(&str, &str)] = &[
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs/{id}"),
    ("DELETE", "/v1/jobs/{id}"),
    ("GET", "/v1/jobs/{id}/events"),
    ("GET", "/v1/jobs/{id}/artifacts/{index}"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/images/generations"),
    ("POST", "/v1/images/edits"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{id}"),
    ("POST", "/v2/{endpoint}/run"),
    ("POST", "/v2/{endpoint}/runsync"),
    ("GET", "/v2/{endpoint}/status/{id}"),
    ("GET", "/v2/{endpoint}/status-sync/{id}"),
    ("GET", "/v2/{endpoint}/stream/{id}"),
    ("POST", "/v2/{endpoint}/cancel/{id}"),
    ("POST", "/v2/{endpoint}/retry/{id}"),
    ("POST", "/v2/{endpoint}/purge-queue"),
    ("GET", "/v2/{endpoint}/health"),
    ("POST", "/v2/{endpoint}/openai/v1/chat/completions"),
    ("POST", "/v2/{endpoint}/openai/v1/completions"),
    ("POST", "/v2/{endpoint}/openai/v1/embeddings"),
    ("POST", "/v2/{endpoint}/openai/v1/images/generations"),
    ("POST", "/v2/{endpoint}/openai/v1/images/edits"),
    ("GET", "/v2/{endpoint}/openai/v1/models"),
    ("POST", "/v1/predictions"),
    ("GET", "/v1/predictions"),
    ("GET", "/v1/predictions/{id}"),
    ("POST", "/v1/predictions/{id}/cancel"),
    ("GET", "/v1/models/{owner}/{name}"),
    ("POST", "/v1/models/{owner}/{name}/predictions"),
    ("GET", "/v1/models/{owner}/{name}/versions"),
    ("GET", "/v1/models/{owner}/{name}/versions/{version}"),
    ("POST", "/v1/deployments/{owner}/{name}/predictions"),
    ("GET", "/v1/webhooks/default/secret"),
    ("POST", "/v1/files"),
    ("GET", "/v1/files"),
    ("GET", "/v1/files/{id}"),
    ("DELETE", "/v1/files/{id}"),
    ("GET", "/v1/files/{id}/{key}/stream"),
    ("GET", "/v1/files/{id}/{key}/{name}"),
    ("GET", "/metrics"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
];

fn path_of(route: &str) -> String {
    let path = route.replace("{id}", &job_id(1)).replace("{index}", "0");
    ["{endpoint}", "{owner}", "{name}", "{version}", "{key}"]
        .iter()
        .fold(path, |path, segment| path.replace(segment, "tiny"))
}

fn without_token(method: &str, path: &str) -> Request<Body> {
    let mut request = request(method, path, None);
    request.headers_mut().remove(header::AUTHORIZATION);
    request
}

#[test]
fn every_route_of_the_app_is_listed_here() {
    let source = include_str!("../src/app.rs");
    let mut routes: Vec<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix(".route(\"")?.split('"').next())
        .collect();
    let mut listed: Vec<&str> = ROUTES.iter().map(|(_, route)| *route).collect();
    listed.dedup();
    routes.sort_unstable();
    listed.sort_unstable();
    assert_eq!(routes, listed);
}

#[tokio::test]
async fn every_route_that_is_not_public_needs_a_token() {
    let node = TestNode::start();
    for (method, route) in ROUTES {
        let answer = node.send(without_token(method, &path_of(route))).await;
        if PUBLIC_ROUTES.contains(route) {
            let is_file = route.starts_with("/v1/files/");
            let expected = if is_file { StatusCode::NOT_FOUND } else { StatusCode::OK };
            assert_eq!(answer.status, expected, "{route}");
        } else {
            match *route {
                route if is_openai(route) => answer.openai_error(401, "invalid_api_key"),
                route if route.starts_with("/v2/") => answer.runpod_error(401),
                _ => answer.problem(401, "unauthenticated"),
            };
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
}

#[tokio::test]
async fn a_stranger_learns_nothing_about_paths_and_methods() {
    let node = TestNode::start();
    for (method, path) in [("GET", "/v1/secrets"), ("PUT", "/v1/jobs"), ("GET", "/")] {
        node.send(without_token(method, path)).await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn only_the_configured_tokens_open_the_door() {
    let node = TestNode::start();
    let cases = [
        (format!("Bearer {OLD_TOKEN}"), true),
        (format!("bearer {OLD_TOKEN}"), true),
        ("Bearer nonsense".to_owned(), false),
        ("Bearer ".to_owned(), false),
        (format!("Basic {OLD_TOKEN}"), false),
        (format!("Bearer {OLD_TOKEN}x"), false),
    ];
    for (value, is_allowed) in cases {
        let mut request = without_token("GET", "/v1/models");
        request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        let status = node.send(request).await.status;
        assert_eq!(status == StatusCode::OK, is_allowed, "{value}");
    }
}

#[tokio::test]
async fn every_wrong_field_is_named_in_one_answer() {
    let node = TestNode::start();
    let body = json!({
        "id": "7", "model": "tiny", "colour": "red",
        "image": { "prompt": "", "steps": 0, "scheduler": "magic", "hue": 3 }
    });
    let problem = node.create_job(&body).await.problem(422, "invalid_request");
    let found: Vec<(&str, &str)> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    let expected = [
        ("/id", "format"),
        ("/image/prompt", "empty"),
        ("/image/steps", "range"),
        ("/image/scheduler", "format"),
        ("/image/hue", "unknown"),
        ("/colour", "unknown"),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_the_model_cannot_do_is_refused_before_it_is_queued() {
    let node = TestNode::start();
    let mut body = order(1, "a fish");
    body["image"]["width"] = json!(100);
    body["image"]["height"] = json!(2048);
    let problem = node.create_job(&body).await.problem(422, "invalid_request");
    let pointers: Vec<&Value> =
        problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/image/width", "/image/height"]);
    node.get(&job_path(1)).await.problem(404, "not_found");
}

#[tokio::test]
async fn an_unknown_model_is_a_wrong_field() {
    let node = TestNode::start();
    let problem =
        node.create_job(&support::order_of(1, "huge")).await.problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/model");
    assert_eq!(problem["errors"][0]["code"], "choice");
}

#[tokio::test]
async fn a_body_of_another_type_is_415() {
    let node = TestNode::start();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let mut request = request("POST", "/v1/jobs", Some(&order(1, "a fish")));
        request.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        node.send(request).await.problem(415, "unsupported_media_type");
    }
    let mut bare = request("POST", "/v1/jobs", Some(&order(1, "a fish")));
    bare.headers_mut().remove(header::CONTENT_TYPE);
    node.send(bare).await.problem(415, "unsupported_media_type");
    let mut with_charset = request("POST", "/v1/jobs", Some(&order(1, "a fish")));
    let value = "Application/JSON; charset=utf-8".parse().unwrap();
    with_charset.headers_mut().insert(header::CONTENT_TYPE, value);
    assert_eq!(node.send(with_charset).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_400() {
    let node = TestNode::start();
    for text in ["", "{", "{\"id\":}", "\u{1}"] {
        let mut request = request("POST", "/v1/jobs", Some(&Value::Null));
        *request.body_mut() = Body::from(text);
        node.send(request).await.problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_body_over_its_routes_limit_is_413_and_says_the_limit() {
    let node = TestNode::start();
    let text = "x".repeat(JSON_BODY_MAX_BYTES);
    let answer = node.post("/v1/completions", &json!({ "model": "m", "prompt": text })).await;
    let error = answer.openai_error(413, "request_too_large");
    assert_eq!(error["message"], "the body must have at most 1048576 bytes");

    let mut with_picture = order(1, "a fish");
    with_picture["image"]["images"] = json!([text]);
    let problem = node.create_job(&with_picture).await.problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/image/images/0", "pictures have room");
    with_picture["image"]["images"] = json!(["x".repeat(IMAGE_BODY_MAX_BYTES)]);
    let problem = node.create_job(&with_picture).await.problem(413, "payload_too_large");
    assert_eq!(problem["detail"], "the body must have at most 33554432 bytes");
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off_at_the_limit() {
    let node = TestNode::start();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let chunk = Bytes::from(vec![b' '; 1 << 20]);
    let endless = stream::repeat_with(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(chunk.clone())
    });
    let mut request = request("POST", "/v1/jobs", Some(&Value::Null));
    *request.body_mut() = Body::from_stream(endless);
    node.send(request).await.problem(413, "payload_too_large");
    assert!(sent.load(Ordering::Relaxed) <= 34, "more was read than may be kept");
}

#[tokio::test]
async fn a_path_that_is_not_there_is_404() {
    let node = TestNode::start();
    let problem = node.get("/v1/secrets?token=hush").await.problem(404, "not_found");
    assert_eq!(problem["instance"], "/v1/secrets");
    for path in ["/v1/jobs/7", "/v1/jobs/%FF", "/v1/jobs/7/events", "/v1/jobs/7/artifacts/0"] {
        node.get(path).await.problem(404, "not_found");
    }
    node.get(&format!("{}/artifacts/-1", job_path(1))).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_405_with_those_it_takes() {
    let node = TestNode::start();
    let answer = node.send(request("PUT", &job_path(1), None)).await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD,DELETE");
}

#[tokio::test]
async fn a_request_keeps_the_id_it_came_with() {
    let node = TestNode::start();
    let mut with_id = request("GET", "/nowhere", None);
    with_id.headers_mut().insert("x-request-id", "from-the-edge".parse().unwrap());
    let problem = node.send(with_id).await.problem(404, "not_found");
    assert_eq!(problem["request_id"], "from-the-edge");

    let mut forged = request("GET", "/v1/models", None);
    forged.headers_mut().insert("x-request-id", "a b".parse().unwrap());
    let answer = node.send(forged).await;
    assert_eq!(answer.header("x-request-id").len(), 36, "{}", answer.header("x-request-id"));
}
