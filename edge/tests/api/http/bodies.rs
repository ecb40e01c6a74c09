//! What a JSON body must be before anyone reads it.

use axum::body::Body;
use serde_json::json;
use shared::{errors::ErrorCode, limits::JSON_BODY_MAX_BYTES};

use crate::support::{
    answer::Call,
    app::{NODE_JOIN_TOKEN, TestApp},
};

fn register(app: &TestApp) -> Call<'_> {
    app.post("/api/nodes/register").token(NODE_JOIN_TOKEN)
}

fn padded(bytes: usize) -> String {
    let body =
        json!({"node_id": "n", "url": "http://n:8000", "models": [], "version": "1"}).to_string();
    let padding = " ".repeat(bytes - body.len());
    body + &padding
}

#[test]
fn only_application_json_is_read() {
    let app = TestApp::new();
    for accepted in ["application/json", "Application/JSON", "application/json; charset=utf-8"] {
        let body = padded(200);
        register(&app).header("content-type", accepted).body(body).send().json(201);
    }
    for refused in
        ["text/plain", "text/json", "application/jsonx", "application/x-www-form-urlencoded", ""]
    {
        let answer = register(&app).header("content-type", refused).body("{}").send();
        assert_eq!(answer.problem(415).code, ErrorCode::UnsupportedMediaType, "{refused}");
    }
    register(&app).body("{}").send().problem(415);
}

#[test]
fn what_is_not_json_is_malformed() {
    let app = TestApp::new();
    let deep = "[".repeat(10_000);
    for body in ["", "{", "{\"node_id\":}", "{}x", "nul", "\u{feff}{}", "{'a':1}", &deep] {
        let answer =
            register(&app).header("content-type", "application/json").body(body.to_owned()).send();
        let problem = answer.problem(400);
        assert_eq!(problem.code, ErrorCode::InvalidRequest);
        assert!(problem.detail.starts_with("The body is not JSON"), "{}", problem.detail);
    }
    let not_utf8 =
        register(&app).header("content-type", "application/json").body(vec![b'"', 0xff, b'"']);
    not_utf8.send().problem(400);
}

#[test]
fn all_errors_of_the_fields_come_at_once() {
    let app = TestApp::new();
    let answer = register(&app).json(&json!({"node_id": "", "models": "a", "extra": 1})).send();
    let errors = answer.field_errors();
    let expected = [
        ("/models", "type"),
        ("/node_id", "empty"),
        ("/url", "missing"),
        ("/version", "missing"),
        ("/extra", "unknown"),
    ];
    assert_eq!(errors, expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
    assert_eq!(register(&app).json(&json!([])).send().field_errors().len(), 1);
}

#[test]
fn a_body_over_the_limit_is_413_however_it_comes() {
    let app = TestApp::new();
    let send = |body: Body, length: Option<usize>| {
        let mut call = register(&app).header("content-type", "application/json");
        if let Some(length) = length {
            call = call.header("content-length", &length.to_string());
        }
        call.body(body).send()
    };
    send(padded(JSON_BODY_MAX_BYTES).into(), None).json(201);
    let too_long = padded(JSON_BODY_MAX_BYTES + 1);
    assert_eq!(send(too_long.clone().into(), None).problem(413).code, ErrorCode::PayloadTooLarge);
    send(too_long.clone().into(), Some(too_long.len())).problem(413);
    // Announced too long: refused before a byte is read.
    send("{}".into(), Some(usize::MAX)).problem(413);
    // In pieces, and announced shorter than it is.
    let pieces = |bytes: usize| {
        let text = padded(bytes).into_bytes();
        let chunks: Vec<_> =
            text.chunks(1000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
        Body::from_stream(futures_util::stream::iter(chunks))
    };
    send(pieces(JSON_BODY_MAX_BYTES), None).json(201);
    send(pieces(JSON_BODY_MAX_BYTES + 1), Some(10)).problem(413);
    let broken =
        futures_util::stream::iter([Ok(b"{".to_vec()), Err(std::io::Error::other("gone"))]);
    send(Body::from_stream(broken), None).problem(400);
}
