//! `POST /api/jobs/{id}/cancel`.

use shared::api::jobs::JobStatus;

use crate::support::{
    app::{TestApp, config},
    nodes::Behaviour,
    world::{World, job_id},
};

fn app() -> (TestApp, String, String) {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    let token = app.sign_in(200);
    let id = app.world.accepted(1);
    (app, token, format!("/api/jobs/{id}/cancel"))
}

#[test]
fn cancels_and_gives_the_credit_back() {
    let (app, token, path) = app();
    let job = app.post(&path).token(&token).send().json(200);
    assert_eq!(job["status"], "cancelled");
    assert_eq!(app.world.gates.settled(job_id(1)), [0]);
    app.world.run_to_the_end(job_id(1));
    assert!(app.world.nodes.orders("node-1").is_empty());
    app.world.assert_told(job_id(1), JobStatus::Cancelled, "cancelled");
    let credits = app.get("/api/credits").token(&token).send().json(200);
    assert_eq!(credits, serde_json::json!({"balance": 100, "reserved": 0}));
}

#[test]
fn a_job_that_ended_stays_as_it_is() {
    let (app, token, path) = app();
    app.world.run_to_the_end(job_id(1));
    let job = app.post(&path).token(&token).send().json(200);
    assert_eq!(job["status"], "completed");
    app.world.assert_completed_once(job_id(1), "cancelled too late");
}

#[test]
fn only_its_owner_or_an_admin_cancels_a_job() {
    let (app, _, path) = app();
    app.post(&path).send().problem(401);
    let stranger = app.sign_in(7);
    app.post(&path).token(&stranger).send().problem(404);
    assert_eq!(app.world.job(job_id(1)).status, JobStatus::Queued);
    let admin = app.sign_in_as(9, Some("admin"));
    app.post(&path).token(&admin).send().json(200);
    assert_eq!(app.world.gates.settled(job_id(1)), [0], "its owner's reservation ends");
}

#[test]
fn a_cancellation_that_reached_only_the_row_is_told_by_the_delivery() {
    let (app, token, path) = app();
    app.world.faults.away(crate::support::faults::Part::Gate, 1_000);
    app.post(&path).token(&token).send().json(200);
    assert!(app.world.gates.settled(job_id(1)).is_empty());
    app.world.faults.heal();
    app.world.run_to_the_end(job_id(1));
    assert_eq!(app.world.gates.settled(job_id(1)), [0]);
    app.world.assert_told(job_id(1), JobStatus::Cancelled, "told later");
}
