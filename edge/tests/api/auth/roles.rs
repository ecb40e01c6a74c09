//! Who counts as an admin, as a node, as monitoring.

use serde_json::json;

use crate::support::app::{METRICS_TOKEN, NODE_JOIN_TOKEN, TestApp};

const SETTING: &str = "/api/admin/settings/prices";

#[test]
fn an_admin_by_token_or_by_the_database_may_and_nobody_else() {
    let app = TestApp::new();
    app.world.database.tables().settings.insert("prices".to_owned(), json!({"scene": 1}));
    let admin = app.sign_in_as(2, Some("admin"));
    app.get(SETTING).token(&admin).send().json(200);
    app.get(SETTING).token(&app.sign_in(1)).send().problem(403);
    app.get(SETTING).token(&app.sign_in_as(3, Some("tuteur"))).send().problem(403);
}

#[test]
fn a_user_is_no_node_and_a_node_no_user() {
    let app = TestApp::new();
    let body = json!({"node_id": "n", "url": "http://n:8000", "models": [], "version": "1"});
    let register = |token: &str| app.post("/api/nodes/register").token(token).json(&body).send();
    register(&app.sign_in_as(1, Some("admin"))).problem(401);
    register(METRICS_TOKEN).problem(401);
    register("").problem(401);
    register(NODE_JOIN_TOKEN).json(201);
    app.get(SETTING).token(NODE_JOIN_TOKEN).send().problem(401);
}

#[test]
fn without_a_join_token_in_the_configuration_no_node_may_join() {
    let mut config = crate::support::app::config();
    config.node_join_token = edge::config::Secret::default();
    config.metrics_token = edge::config::Secret::default();
    let app = TestApp::on(crate::support::world::World::empty(), config);
    for token in ["", " ", "x"] {
        app.post("/api/nodes/register").token(token).json(&json!({})).send().problem(401);
        app.get("/api/metrics").token(token).send().problem(401);
    }
}

#[test]
fn metrics_are_for_their_token_and_for_admins() {
    let app = TestApp::new();
    app.get("/api/metrics").send().problem(401);
    app.get("/api/metrics").token(NODE_JOIN_TOKEN).send().problem(401);
    app.get("/api/metrics").token(&app.sign_in(1)).send().problem(403);
    assert_eq!(app.get("/api/metrics").token(METRICS_TOKEN).send().status, 200);
    assert_eq!(app.get("/api/metrics").token(&app.sign_in_as(2, Some("admin"))).send().status, 200);
}
