//! `DELETE /api/jobs/cleanup`.

use axum::http::Method;
use serde_json::json;

use crate::support::{
    app::{TestApp, config},
    nodes::Behaviour,
    world::{World, job_id},
};

const PATH: &str = "/api/jobs/cleanup?older_than_days=0";

#[test]
fn removes_the_callers_ended_jobs_and_keeps_their_scenes() {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    let token = app.sign_in(200);
    let id = app.world.accepted(1);
    app.world.run_to_the_end(id);
    app.world.accepted(2);
    let stranger = app.sign_in(7);
    let removed = app.call(Method::DELETE, PATH).token(&stranger).send().json(200);
    assert_eq!(removed, json!({"removed": 0}));
    let removed = app.call(Method::DELETE, PATH).token(&token).send().json(200);
    assert_eq!(removed, json!({"removed": 1}));
    app.get(&format!("/api/jobs/{}", job_id(1))).token(&token).send().problem(404);
    app.get(&format!("/api/jobs/{}", job_id(2))).token(&token).send().json(200);
    app.get(&format!("/api/scenes/{}", job_id(1))).token(&token).send().json(200);
}

#[test]
fn refuses_ages_that_make_no_sense() {
    let app = TestApp::new();
    let token = app.sign_in(200);
    for days in ["-1", "x", "36501"] {
        let path = format!("/api/jobs/cleanup?older_than_days={days}");
        let errors = app.call(Method::DELETE, &path).token(&token).send().field_errors();
        assert_eq!(errors, [("/older_than_days".to_owned(), "range".to_owned())], "{days}");
    }
    app.call(Method::DELETE, PATH).send().problem(401);
}
