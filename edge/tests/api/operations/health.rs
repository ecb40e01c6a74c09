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
            "checks": {"database": "ok", "nodes": {"healthy": 1, "total": 1}},
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
