//! `GET /api/health`.

use serde_json::json;

use crate::support::{
    app::{TestApp, config},
    faults::Part,
    nodes::Behaviour,
    world::World,
};

#[test]
fn says_that_all_is_well() {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    assert_eq!(
        app.get("/api/health").send().json(200),
        json!({
            "status": "ok", "version": env!("CARGO_PKG_VERSION"), "environment": "local",
            "checks": {
                "database": "ok", "nodes": {"healthy": 1, "total": 1},
                "ai": {"is_available": false, "model": "embedded-text", "nodes": 0},
            },
        })
    );
}

#[test]
fn without_a_node_it_is_degraded_and_without_the_database_unavailable() {
    let app = TestApp::new();
    assert_eq!(app.get("/api/health").send().json(200)["status"], "degraded");
    app.world.faults.away(Part::Database, 60_000);
    let health = app.get("/api/health").send().json(503);
    assert_eq!(
        (&health["status"], &health["checks"]["database"]),
        (&json!("unavailable"), &json!("unreachable"))
    );
}

#[test]
fn a_fleet_that_does_not_answer_counts_as_no_node() {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    app.world.faults.away(Part::Gate, 60_000);
    assert_eq!(
        app.get("/api/health").send().json(200)["checks"]["nodes"],
        json!({"healthy": 0, "total": 0})
    );
}

#[test]
fn says_how_many_nodes_would_write_a_text() {
    let (app, _) = crate::ai_assistant::generate::app(2);
    assert_eq!(
        app.get("/api/health").send().json(200)["checks"]["ai"],
        json!({"is_available": true, "model": "embedded-text", "nodes": 2})
    );
}
