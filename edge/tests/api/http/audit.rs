//! One entry for each call that changes something, or tried to.

use axum::http::Method;
use edge::ports::system::LimitedAction;
use serde_json::json;

use crate::support::{
    app::{NODE_JOIN_TOKEN, TestApp},
    faults::Part,
    world::caller,
};

const SETTING: &str = "/api/admin/settings/prices";

#[test]
fn a_change_is_recorded_with_who_what_and_from_where() {
    let app = TestApp::new();
    let admin = app.sign_in_as(1, Some("admin"));
    let call = app.call(Method::PUT, SETTING).token(&admin).json(&json!({"value": {"scene": 2}}));
    assert_eq!(call.header("x-request-id", "my-request").send().status, 204);
    let [entry] = app.world.queues.audit().try_into().unwrap();
    assert_eq!(entry.user_id, Some(caller(1, None).user_id));
    assert_eq!(entry.action, "PUT /api/admin/settings/{key}");
    assert_eq!(
        entry.metadata,
        json!({"status": 204, "ip_prefix": "203.0.113.0/24", "request_id": "my-request", "response_time_ms": 0})
    );
    assert_eq!(entry.timestamp, "2026-11-21T13:34:56.000Z");
    assert_eq!(entry.id.len(), 36);
}

#[test]
fn a_failed_change_is_recorded_too_and_reading_is_not() {
    let app = TestApp::new();
    let token = app.sign_in(1);
    let body = json!({"value": {}});
    app.call(Method::PUT, SETTING).json(&body).send().problem(401);
    app.call(Method::PUT, SETTING).token(&token).json(&body).send().problem(403);
    app.get(SETTING).token(&token).send().problem(403);
    app.get("/api/health").send();
    app.call(Method::PUT, "/nowhere").send().problem(404);
    let audit = app.world.queues.audit();
    let seen: Vec<_> =
        audit.iter().map(|e| (e.user_id.is_some(), e.metadata["status"].clone())).collect();
    assert_eq!(seen, [(false, json!(401)), (true, json!(403))]);
}

#[test]
fn what_was_not_understood_or_came_too_often_is_no_change() {
    let app = TestApp::new();
    let admin = app.sign_in_as(1, Some("admin"));
    let put = || app.call(Method::PUT, SETTING).token(&admin);
    put().json(&json!({"value": 1})).send().problem(422);
    put().body("{}").send().problem(415);
    put().header("content-type", "application/json").body("{").send().problem(400);
    app.rate_limiter.limit(LimitedAction::RequestByUser, 0);
    put().json(&json!({"value": {}})).send().problem(429);
    assert_eq!(app.world.queues.audit(), []);
}

#[test]
fn a_nodes_arrival_is_recorded_but_not_its_pulse() {
    let app = TestApp::new();
    let node = json!({"node_id": "n", "url": "http://n:8000", "models": [], "version": "1"});
    app.post("/api/nodes/register").token(NODE_JOIN_TOKEN).json(&node).send().json(201);
    app.post("/api/nodes/n/heartbeat").token(NODE_JOIN_TOKEN).json(&json!({})).send();
    let actions: Vec<_> = app.world.queues.audit().into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["POST /api/nodes/register"]);
}

#[test]
fn a_queue_that_is_away_does_not_fail_the_call() {
    let app = TestApp::new();
    app.world.faults.away(Part::Queue, 60_000);
    let admin = app.sign_in_as(1, Some("admin"));
    let call = app.call(Method::PUT, SETTING).token(&admin).json(&json!({"value": {}}));
    assert_eq!(call.send().status, 204);
}
