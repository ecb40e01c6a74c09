//! `/api/nodes/*`: how nodes join, stay and leave.

use axum::http::Method;
use edge::config::{Config, Environment};
use serde_json::{Value, json};

use crate::support::{
    answer::Answer,
    app::{NODE_JOIN_TOKEN, TestApp, config},
    world::{MODEL, World},
};

fn node(url: &str) -> Value {
    json!({"node_id": "new-node", "url": url, "models": [MODEL], "capacity": 2, "version": "0.1.0"})
}

fn register(app: &TestApp, body: &Value) -> Answer {
    app.post("/api/nodes/register").token(NODE_JOIN_TOKEN).json(body).send()
}

fn total(app: &TestApp) -> Value {
    app.get("/api/health").send().json(200)["checks"]["nodes"]["total"].clone()
}

#[test]
fn a_node_joins_beats_and_leaves() {
    let app = TestApp::new();
    let beat = || {
        let body = json!({"running": 1, "queued": 2, "is_draining": false});
        app.post("/api/nodes/new-node/heartbeat").token(NODE_JOIN_TOKEN).json(&body).send()
    };
    beat().problem(404);
    assert_eq!(
        register(&app, &node("http://node:8000/")).json(201),
        json!({"heartbeat_interval_ms": 10_000})
    );
    assert_eq!(beat().status, 204);
    assert_eq!(total(&app), 1);
    let leave = app.call(Method::DELETE, "/api/nodes/new-node").token(NODE_JOIN_TOKEN).send();
    assert_eq!(leave.status, 204);
    assert_eq!(total(&app), 0);
}

#[test]
fn a_url_that_our_token_must_not_be_sent_to_is_refused() {
    let production = Config { environment: Environment::Production, ..config() };
    let (local, production) = (TestApp::new(), TestApp::on(World::empty(), production));
    for url in ["node", "ftp://node", "/path", "javascript:alert(1)", "http://", "http:///x"] {
        assert_eq!(register(&local, &node(url)).field_errors()[0].0, "/url", "{url}");
    }
    register(&production, &node("http://node:8000")).problem(422);
    register(&production, &node("https://node.example")).json(201);
}
