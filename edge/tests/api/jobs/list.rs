//! `GET /api/jobs` and `GET /api/jobs/{id}`.

use serde_json::Value;

use crate::support::{
    app::{TestApp, config},
    nodes::Behaviour,
    world::{World, job_id},
};

fn app_with_jobs(count: u8) -> (TestApp, String) {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    let token = app.sign_in(200);
    for number in 1..=count {
        let id = app.world.accepted(number);
        app.world.run_to_the_end(id);
    }
    (app, token)
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn pages_through_the_callers_jobs_newest_first() {
    let (app, token) = app_with_jobs(5);
    let first = app.get("/api/jobs?limit=3").token(&token).send().json(200);
    assert_eq!(ids(&first), [5, 4, 3].map(|n| job_id(n).to_string()));
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("/api/jobs?limit=3&cursor={cursor}");
    let second = app.get(&path).token(&token).send().json(200);
    assert_eq!(ids(&second), [2, 1].map(|n| job_id(n).to_string()));
    assert_eq!(second.get("next_cursor"), None);
}

#[test]
fn filters_by_status_and_kind() {
    let (app, token) = app_with_jobs(2);
    app.world.accepted(3);
    let queued = app.get("/api/jobs?status=queued&kind=scene").token(&token).send().json(200);
    assert_eq!(ids(&queued), [job_id(3).to_string()]);
}

#[test]
fn reports_every_wrong_parameter_at_once() {
    let (app, token) = app_with_jobs(0);
    let path = "/api/jobs?status=done&kind=song&limit=101&page=2";
    let errors = app.get(path).token(&token).send().field_errors();
    let expected =
        [("/status", "choice"), ("/kind", "choice"), ("/limit", "range"), ("/page", "unknown")];
    assert_eq!(errors, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));
}

#[test]
fn shows_a_job_to_its_owner_only() {
    let (app, token) = app_with_jobs(1);
    let path = format!("/api/jobs/{}", job_id(1));
    let job = app.get(&path).token(&token).send().json(200);
    assert_eq!(job["status"], "completed");
    assert_eq!(job["progress"], 100);
    assert_eq!(job["outputs"][0]["content_type"], "image/png");

    let stranger = app.sign_in(7);
    app.get(&path).token(&stranger).send().problem(404);
    assert_eq!(ids(&app.get("/api/jobs").token(&stranger).send().json(200)), [""; 0]);
    app.get("/api/jobs/not-an-id").token(&token).send().problem(404);
}

#[test]
fn without_the_database_the_answer_is_503() {
    let (app, token) = app_with_jobs(0);
    for path in ["/api/jobs".to_owned(), format!("/api/jobs/{}", job_id(1))] {
        app.world.faults.away(crate::support::faults::Part::Database, 1_000_000);
        let answer = app.get(&path).token(&token).send();
        answer.problem(503);
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
}
