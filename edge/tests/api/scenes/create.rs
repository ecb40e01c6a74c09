//! `POST /api/generate/scene`.

use serde_json::json;
use shared::errors::ErrorCode;

use crate::support::{
    answer::Answer,
    app::{TestApp, config},
    faults::Part,
    nodes::Behaviour,
    world::{World, scene_input},
};

const PATH: &str = "/api/generate/scene";

fn app() -> (TestApp, String) {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    let token = app.sign_in(200);
    (app, token)
}

fn order(app: &TestApp, token: &str) -> Answer {
    app.post(PATH).token(token).json(&scene_input()).send()
}

fn jobs(app: &TestApp) -> usize {
    app.world.database.tables().jobs.len()
}

#[test]
fn accepts_an_order_and_says_where_to_follow_it() {
    let (app, token) = app();
    let answer = order(&app, &token);
    let job = answer.json(202);
    assert_eq!(job["status"], "queued");
    assert_eq!(job["input"], scene_input());
    let id = job["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(&*format!("/api/jobs/{id}")));
    assert_eq!(answer.header("preference-applied"), None);
    assert_eq!(app.world.queues.waiting_generation()[0].job_id.to_string(), id);
}

#[test]
fn refuses_whoever_brings_no_token() {
    let (app, _) = app();
    app.post(PATH).json(&scene_input()).send().problem(401);
    assert_eq!(jobs(&app), 0);
}

#[test]
fn reports_all_wrong_fields_at_once_and_makes_nothing() {
    let (app, token) = app();
    let body = json!({"world": "", "era": "x".repeat(121), "class": "a\u{0}b", "colour": "red"});
    let errors = app.post(PATH).token(&token).json(&body).send().field_errors();
    let expected = [
        ("/world", "empty"),
        ("/era", "too_long"),
        ("/class", "control_character"),
        ("/pose", "missing"),
        ("/decor", "missing"),
        ("/colour", "unknown"),
    ];
    assert_eq!(errors, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));
    assert_eq!(jobs(&app), 0);
}

#[test]
fn no_credit_is_402_and_too_many_jobs_429() {
    let (app, token) = app();
    for _ in 0..4 {
        order(&app, &token).json(202);
    }
    let answer = order(&app, &token);
    assert_eq!(answer.problem(429).code, ErrorCode::RateLimited);
    assert_eq!(answer.header("retry-after"), Some("10"));

    app.world.database.grant(app.world.alice.user_id, 0);
    let poor = app.sign_in(201);
    app.world.database.grant(crate::support::world::caller(201, None).user_id, 0);
    let problem = order(&app, &poor).problem(402);
    assert_eq!(problem.code, ErrorCode::PaymentRequired);
    assert_eq!(jobs(&app), 4);
}

#[test]
fn no_node_at_all_is_503_with_nothing_half_made() {
    let app = TestApp::new();
    let token = app.sign_in(200);
    let answer = order(&app, &token);
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), Some("15"));
    assert_eq!(jobs(&app), 0);
}

#[test]
fn a_part_that_is_away_is_503_and_the_next_try_works() {
    let (app, token) = app();
    app.world.database.grant(app.world.alice.user_id, 1);
    for part in [Part::Gate, Part::Database, Part::Queue] {
        app.world.faults.away(part, 1_000);
        let answer = order(&app, &token);
        answer.problem(503);
        assert!(answer.header("retry-after").is_some());
        app.world.faults.heal();
    }
    order(&app, &token).json(202);
}

#[test]
fn a_double_click_is_one_job_with_one_answer() {
    let (app, token) = app();
    let click = || app.post(PATH).token(&token).header("idempotency-key", "k").json(&scene_input());
    let both = futures_util::future::join(click().send_async(), click().send_async());
    let (first, second) = app.world.clock.run(both);
    assert_eq!(first.json(202), second.json(202));
    assert_eq!(first.header("location"), second.header("location"));
    assert_eq!(jobs(&app), 1);
    assert_eq!(app.world.queues.waiting_generation().len(), 1);
}

#[test]
fn a_key_with_another_body_is_422() {
    let (app, token) = app();
    let keyed = || app.post(PATH).token(&token).header("idempotency-key", "k");
    keyed().json(&scene_input()).send().json(202);
    let mut other = scene_input();
    other["world"] = json!("fire kingdom");
    keyed().json(&other).send().problem(422);
    assert_eq!(jobs(&app), 1);
}

#[test]
fn a_key_whose_first_try_failed_may_be_used_again() {
    let (app, token) = app();
    let keyed = || app.post(PATH).token(&token).header("idempotency-key", "k").json(&scene_input());
    app.world.faults.fail_calls("queue.generation", 1);
    keyed().send().problem(503);
    let job = keyed().send().json(202);
    assert_eq!(job["status"], "queued");
    assert_eq!(keyed().send().json(202), job);
    assert_eq!(app.world.queues.waiting_generation().len(), 1);
}

#[test]
fn the_alias_makes_scenes_too() {
    let (app, token) = app();
    app.post("/s2s_api_v1/generate/scene").token(&token).json(&scene_input()).send().json(202);
}
