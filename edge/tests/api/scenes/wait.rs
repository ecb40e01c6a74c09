//! `POST /api/generate/scene` with `Prefer: wait`.

use edge::{
    domains::jobs::{generation_consumer::consume, service::cancel_job},
    ports::system::Clock,
};
use futures_util::future::join;
use serde_json::json;

use crate::support::{
    answer::Answer,
    app::{TestApp, config},
    nodes::Behaviour,
    world::{World, scene_input},
};

fn app(behaviour: Behaviour) -> (TestApp, String) {
    let app = TestApp::on(World::with_nodes([behaviour]), config());
    let token = app.sign_in(200);
    (app, token)
}

/// Orders and waits, while the queue's consumer works.
fn order_and_wait(app: &TestApp, token: &str, seconds: u32) -> Answer {
    let call = app
        .post("/api/generate/scene")
        .token(token)
        .header("prefer", &format!("wait={seconds}"))
        .json(&scene_input());
    let consumer = async {
        loop {
            app.world.clock.sleep_ms(10).await;
            if let Some(message) = app.world.queues.take_generation() {
                return consume(&app.world.ports(), message).await;
            }
        }
    };
    app.world.clock.run(join(call.send_async(), consumer)).0
}

#[test]
fn the_scene_itself_if_it_is_ready_in_time() {
    let (app, token) = app(Behaviour::default());
    let answer = order_and_wait(&app, &token, 30);
    let scene = answer.json(201);
    let id = scene["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(&*format!("/api/scenes/{id}")));
    assert_eq!(answer.header("preference-applied"), Some("wait=30"));
    assert_eq!(scene["image_url"], format!("http://edge.example/api/scenes/{id}/image"));
    assert_eq!(scene["world"], "ice kingdom");
    assert_eq!(scene["status"], "completed");
}

#[test]
fn otherwise_the_job() {
    let (app, token) = app(Behaviour::default());
    let answer = order_and_wait(&app, &token, 2);
    assert_eq!(answer.json(202)["status"], "queued");
    assert!(answer.header("location").unwrap().starts_with("/api/jobs/"));
}

#[test]
fn a_failure_is_never_an_answer_of_success() {
    let (app, token) =
        app(Behaviour { failures: vec![("bad_model", false)], ..Behaviour::default() });
    let answer = order_and_wait(&app, &token, 30);
    assert_eq!(answer.problem(502).detail, "bad_model happened");
}

#[test]
fn a_job_cancelled_meanwhile_is_a_conflict() {
    let (app, token) = app(Behaviour::default());
    let call = app
        .post("/api/generate/scene")
        .token(&token)
        .header("prefer", "wait=30")
        .json(&scene_input());
    let ports = app.world.ports();
    let cancelling = async {
        app.world.clock.sleep_ms(1_000).await;
        let id = app.world.queues.waiting_generation()[0].job_id;
        cancel_job(&ports, &app.world.alice, id).await
    };
    let (answer, _) = app.world.clock.run(join(call.send_async(), cancelling));
    assert_eq!(answer.problem(409).detail, "the job was cancelled");
}

#[test]
fn a_room_that_cannot_be_waited_in_does_not_break_the_promise() {
    let (app, token) = app(Behaviour::default());
    app.world.faults.fail_calls("room.wait_for_end", 1);
    assert_eq!(order_and_wait(&app, &token, 30).json(202)["status"], json!("queued"));
}
