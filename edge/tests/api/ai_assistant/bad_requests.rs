//! A bad request of every kind, for each route of the AI service.

use axum::http::Method;
use edge::ports::system::LimitedAction;
use serde_json::{Value, json};
use shared::errors::ErrorCode;

use super::generate::{app, question};
use crate::content_ideas::generate::order;

fn routes() -> [(&'static str, Value); 5] {
    [
        ("/api/ai-assistant/generate", question()),
        ("/api/content-ideas/generate", order()),
        ("/api/ai-assistant/tools/content-ideas", order()),
        (
            "/api/ai-assistant/tools/message-generator",
            json!({"purpose": "thank", "recipient": "Ada"}),
        ),
        (
            "/api/ai-assistant/tools/pricing-optimizer",
            json!({"contentType": "video", "currentPrice": 10, "currency": "EUR", "audience": []}),
        ),
    ]
}

#[test]
fn what_is_no_json_object_of_a_bearable_size_is_refused() {
    let (app, token) = app(1);
    for (path, _) in routes() {
        let post = || app.post(path).token(&token);
        let json = || post().header("content-type", "application/json");
        assert_eq!(json().body("{").send().problem(400).code, ErrorCode::InvalidRequest, "{path}");
        assert_eq!(json().body("[]").send().field_errors(), [(String::new(), "type".to_owned())]);
        post().header("content-type", "text/plain").body("{}").send().problem(415);
        post().body("{}").send().problem(415);
        json().body(vec![b' '; 1024 * 1024 + 1]).send().problem(413);
    }
    assert!(app.world.writers.requests("node-1").is_empty());
}

#[test]
fn another_method_is_405_and_nobody_401() {
    let (app, token) = app(1);
    for (path, body) in routes() {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let answer = app.call(method, path).token(&token).send();
            answer.problem(405);
            assert_eq!(answer.header("allow"), Some("POST"));
        }
        app.post(path).json(&body).send().problem(401);
        app.post(path).token("forged").json(&body).send().problem(401);
    }
}

#[test]
fn an_unknown_field_or_a_strange_language_is_named() {
    let (app, token) = app(1);
    for (path, mut body) in routes() {
        body["language"] = json!("ja");
        body["modèle"] = json!("gpt");
        let errors = app.post(path).token(&token).json(&body).send().field_errors();
        let expected = [("/language", "format"), ("/modèle", "unknown")];
        assert_eq!(errors, expected.map(|(p, c)| (p.to_owned(), c.to_owned())), "{path}");
    }
}

#[test]
fn a_key_that_is_none_is_400() {
    let (app, token) = app(1);
    for (path, body) in routes() {
        let call = app.post(path).token(&token).header("idempotency-key", " ").json(&body);
        call.send().problem(400);
    }
}

#[test]
fn each_counts_as_a_generation() {
    let (app, token) = app(1);
    for (path, body) in routes() {
        app.rate_limiter.limit(LimitedAction::Generate, 0);
        let answer = app.post(path).token(&token).json(&body).send();
        assert_eq!(answer.problem(429).code, ErrorCode::RateLimited, "{path}");
        assert!(answer.header("ratelimit-policy").unwrap().starts_with("\"generate\""));
    }
}

#[test]
fn all_wrong_fields_of_a_question_are_reported_at_once() {
    let (app, token) = app(1);
    let body = json!({
        "message": "x".repeat(4_001), "maxTokens": 2_001, "temperature": 2.1,
        "history": [{"role": "system", "content": ""}, 7, {"role": "user", "content": "a\u{7}b", "name": "x"}],
    });
    let errors = app.post(routes()[0].0).token(&token).json(&body).send().field_errors();
    let expected = [
        ("/maxTokens", "range"),
        ("/message", "too_long"),
        ("/history/0/role", "format"),
        ("/history/0/content", "empty"),
        ("/history/1", "type"),
        ("/history/2/content", "control_character"),
        ("/history/2/name", "unknown"),
        ("/temperature", "range"),
    ];
    assert_eq!(errors, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));
    let empty = app.post(routes()[0].0).token(&token).json(&json!({})).send().field_errors();
    assert_eq!(empty, [("/message".to_owned(), "missing".to_owned())]);
    let many =
        json!({"message": "x", "history": vec![json!({"role": "user", "content": "x"}); 21]});
    let many = app.post(routes()[0].0).token(&token).json(&many).send().field_errors();
    assert_eq!(many, [("/history".to_owned(), "range".to_owned())]);
}

#[test]
fn all_wrong_fields_of_the_tools_are_reported_at_once() {
    let (app, token) = app(1);
    let message = json!({
        "purpose": "", "recipient": 7, "tone": "x".repeat(81), "context": "a\nb", "template": "",
    });
    let errors = app.post(routes()[3].0).token(&token).json(&message).send().field_errors();
    let expected = [
        ("/purpose", "empty"),
        ("/recipient", "type"),
        ("/tone", "too_long"),
        ("/context", "control_character"),
        ("/template", "empty"),
    ];
    assert_eq!(errors, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));
    let price = json!({"currentPrice": -1, "currency": "eur", "audience": "all", "history": [""]});
    let errors = app.post(routes()[4].0).token(&token).json(&price).send().field_errors();
    let expected = [
        ("/currency", "format"),
        ("/contentType", "missing"),
        ("/currentPrice", "range"),
        ("/audience", "type"),
        ("/history/0", "empty"),
    ];
    assert_eq!(errors, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));
}
