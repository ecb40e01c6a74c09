//! Limits per address, per user and per kind of call.

use edge::ports::system::LimitedAction;
use serde_json::json;
use shared::errors::ErrorCode;

use crate::support::app::TestApp;

const GUARDED: &str = "/api/admin/settings/prices";

#[test]
fn over_the_limit_says_when_to_come_back() {
    let app = TestApp::new();
    app.rate_limiter.limit(LimitedAction::RequestByIp, 2);
    app.get("/api/health").send().json(200);
    app.get("/api/health").send().json(200);
    let answer = app.get("/api/health").send();
    assert_eq!(answer.problem(429).code, ErrorCode::RateLimited);
    // The fake clock starts 56 s into a minute.
    assert_eq!(answer.header("retry-after"), Some("4"));
    assert_eq!(answer.header("ratelimit"), Some("\"ip\";r=0;t=4"));
    assert_eq!(answer.header("ratelimit-policy"), Some("\"ip\";q=600;w=60"));
}

#[test]
fn addresses_are_counted_before_any_token_is_looked_at() {
    let app = TestApp::new();
    app.rate_limiter.limit(LimitedAction::RequestByIp, 1);
    app.get(GUARDED).token("garbage").send().problem(401);
    app.get(GUARDED).token("garbage").send().problem(429);
    app.get(GUARDED).token(&app.sign_in(1)).send().problem(429);
    app.get(GUARDED).header("cf-connecting-ip", "203.0.113.78").send().problem(401);
}

#[test]
fn one_ipv6_subscriber_is_one_address() {
    let app = TestApp::new();
    for ip in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1", "garbage"] {
        app.get("/api/health").header("cf-connecting-ip", ip).send();
    }
    let keys = app.rate_limiter.keys(LimitedAction::RequestByIp);
    assert_eq!(keys, ["2001:db8:1:2::", "2001:db8:1:3::", "unknown"]);
}

#[test]
fn users_are_counted_apart_wherever_they_come_from() {
    let app = TestApp::new();
    app.rate_limiter.limit(LimitedAction::RequestByUser, 1);
    let (alice, bob) = (app.sign_in(1), app.sign_in(2));
    app.get(GUARDED).token(&alice).send().problem(403);
    let answer = app.get(GUARDED).token(&alice).header("cf-connecting-ip", "198.51.100.1").send();
    answer.problem(429);
    assert_eq!(answer.header("ratelimit-policy"), Some("\"user\";q=300;w=60"));
    app.get(GUARDED).token(&bob).send().problem(403);
}

#[test]
fn only_orders_for_a_generation_count_as_such() {
    let app = TestApp::new();
    let token = app.sign_in(1);
    app.get(GUARDED).token(&token).send();
    assert!(app.rate_limiter.keys(LimitedAction::Generate).is_empty());
    app.post("/api/generate/scene").token(&token).json(&json!({})).send().problem(422);
    assert_eq!(app.rate_limiter.keys(LimitedAction::Generate).len(), 1);
    app.rate_limiter.limit(LimitedAction::Generate, 1);
    let answer = app.post("/api/generate/scene").token(&token).json(&json!({})).send();
    answer.problem(429);
    assert_eq!(answer.header("ratelimit-policy"), Some("\"generate\";q=30;w=60"));
}

#[test]
fn a_limiter_that_fails_stops_nobody() {
    let app = TestApp::new();
    app.rate_limiter.break_down();
    app.get("/api/health").send().json(200);
    app.get(GUARDED).token(&app.sign_in(1)).send().problem(403);
}
