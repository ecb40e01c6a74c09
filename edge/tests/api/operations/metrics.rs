//! `GET /api/metrics`.

use crate::support::{
    app::{METRICS_TOKEN, TestApp, config},
    faults::Part,
    nodes::Behaviour,
    world::World,
};

#[test]
fn shows_jobs_messages_and_nodes() {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    app.world.accepted(1);
    app.world.accepted(2);
    app.world.deliver();
    let answer = app.get("/api/metrics").token(METRICS_TOKEN).send();
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    insta::assert_snapshot!(answer.text());
}

#[test]
fn says_so_when_the_numbers_cannot_be_had() {
    let app = TestApp::new();
    app.world.faults.away(Part::Database, 60_000);
    app.get("/api/metrics").token(METRICS_TOKEN).send().problem(503);
}
