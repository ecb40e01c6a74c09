//! Webhooks: every step in order, signed, the same each time, until the receiver has it or a day is over.

use edge::{
    config::Config,
    ports::{delivery::Delivery, system::Clock},
};
use serde_json::{Value, json};
use shared::signing::{Attempt, SigningSecret, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};

use super::{ID, app_with, get, order, post, run};
use crate::support::{
    app::{TestApp, config},
    nodes::Behaviour,
    world::{WEBHOOK_SECRET, World},
};

fn told(app: &TestApp) -> Vec<String> {
    let status = |body: &Value| body["status"].as_str().unwrap().to_owned();
    app.world.receiver.bodies().iter().map(status).collect()
}

fn retry(after_s: Option<u32>) -> Delivery {
    Delivery::Retry { after_s, cause: "status 500".to_owned() }
}

const WHOLE: [&str; 4] = ["initializing", "generating", "saving", "completed"];

#[test]
fn every_step_is_told_in_order_and_the_last_is_what_the_route_says() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    post(&app, &alice, &order()).json(202);
    run(&app);
    assert_eq!(told(&app), WHOLE);
    let bodies = app.world.receiver.bodies();
    let progress: Vec<&Value> = bodies.iter().take(3).map(|body| &body["progress"]).collect();
    assert_eq!(progress, [25, 60, 90]);
    assert_eq!(bodies[3]["environment"], "development");
    assert_eq!(get(&app, &alice, ID).json(200), bodies[3]);
    assert!(app.world.discord.posted().is_empty(), "Discord is told of scenes");
}

#[test]
fn where_nobody_is_told_no_message_is_left_and_the_route_says_the_same() {
    for refuses in [false, true] {
        let world = World::with_nodes([Behaviour { refuses, ..Behaviour::default() }]);
        let app = TestApp::on(world, Config { webhook: None, ..config() });
        let alice = app.sign_in(200);
        post(&app, &alice, &order()).json(202);
        run(&app);
        let end = if refuses { "failed" } else { "completed" };
        assert_eq!(get(&app, &alice, ID).json(200)["status"], end);
        assert!(app.world.database.tables().outbox.is_empty(), "{end}");
        assert!(app.world.receiver.bodies().is_empty(), "{end}");
    }
}

#[test]
fn the_outbox_is_woken_for_each_step_while_the_run_goes_on() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    post(&app, &alice, &order()).json(202);
    app.world.queues.take_outbox();
    app.world.deliver();
    assert_eq!(
        app.world.queues.take_outbox().len(),
        4,
        "initializing, generating, saving, the end"
    );
}

#[test]
fn a_message_proves_itself_twice_and_keeps_its_id_when_sent_again() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    post(&app, &alice, &order()).json(202);
    app.world.receiver.answer([retry(None)]);
    run(&app);
    let received = app.world.receiver.received();
    assert_eq!(received.len(), 5);
    let header = |index: usize, name: &str| {
        let headers = &received[index].headers;
        headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).unwrap()
    };
    let secret = SigningSecret::parse(WEBHOOK_SECRET).unwrap();
    for (index, message) in received.iter().enumerate() {
        assert_eq!(header(index, "x-webhook-secret"), WEBHOOK_SECRET);
        let (id, timestamp) = (header(index, WEBHOOK_ID), header(index, WEBHOOK_TIMESTAMP));
        let signatures = header(index, WEBHOOK_SIGNATURE);
        let attempt = Attempt {
            id: &id,
            timestamp: &timestamp,
            signatures: &signatures,
            body: message.body.as_bytes(),
        };
        assert_eq!(secret.verify(&attempt, timestamp.parse().unwrap()), Ok(()));
    }
    assert_eq!(received[0].body, received[1].body);
    assert_eq!(header(0, WEBHOOK_ID), header(1, WEBHOOK_ID));
    assert_ne!(header(0, WEBHOOK_TIMESTAMP), header(1, WEBHOOK_TIMESTAMP), "of the attempt");
    assert_ne!(header(1, WEBHOOK_ID), header(2, WEBHOOK_ID));
}

#[test]
fn a_receiver_that_was_down_gets_everything_in_order_although_the_job_has_ended() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    post(&app, &alice, &order()).json(202);
    app.world.receiver.answer(vec![retry(None); 6]);
    app.world.deliver();
    assert_eq!(get(&app, &alice, ID).json(200)["status"], "completed");
    run(&app);
    let mut steps = told(&app);
    steps.dedup();
    assert_eq!(steps, WHOLE);
}

#[test]
fn what_is_not_taken_within_a_day_is_seen_by_an_admin_and_replayed() {
    let app = app_with(Behaviour { refuses: true, ..Behaviour::default() });
    let alice = app.sign_in(200);
    post(&app, &alice, &order()).json(202);
    app.world.deliver();
    app.world.receiver.answer(vec![retry(None); 33]);
    let begun_ms = app.world.clock.now_ms();
    while told(&app).last().map(String::as_str) != Some("failed") {
        app.world.deliver_outbox().unwrap();
        app.world.clock.advance_ms(60_000);
    }
    let hours = (app.world.clock.now_ms() - begun_ms) / 3_600_000;
    assert!((22..=26).contains(&hours), "{hours}");
    let admin = app.sign_in_as(1, Some("admin"));
    let dead = app.get("/api/admin/outbox?status=dead").token(&admin).send().json(200);
    assert_eq!(dead["items"][0]["event"], "image.initializing");
    assert_eq!(dead["items"][0]["topic"], "webhook");
    let id = dead["items"][0]["id"].as_str().unwrap();
    let replay = app.post(&format!("/api/admin/outbox/{id}/replay")).token(&admin).send();
    assert_eq!(replay.status, 202);
    app.world.drain_outbox();
    assert_eq!(told(&app).last().unwrap(), "initializing");
}

#[test]
fn a_receiver_that_asks_for_a_pause_does_not_hold_up_discord() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    post(&app, &alice, &order()).json(202);
    app.world.deliver();
    let scene = app.world.accepted(1);
    app.world.run_to_the_end(scene);
    app.world.receiver.answer([retry(Some(600))]);
    app.world.deliver_outbox().unwrap();
    assert_eq!((told(&app).len(), app.world.discord.posted().len()), (1, 1));
    app.world.drain_outbox();
    assert_eq!(told(&app)[1..], WHOLE);
}

#[test]
fn a_refused_order_and_a_cancelled_one_are_told_as_failed() {
    let app = app_with(Behaviour { refuses: true, ..Behaviour::default() });
    let alice = app.sign_in(200);
    post(&app, &alice, &order()).json(202);
    run(&app);
    assert_eq!(told(&app), ["initializing", "failed"]);
    let last = app.world.receiver.bodies().pop().unwrap();
    assert_eq!(last["error_message"], "Erreur lors de la génération: not a prompt");
    assert_eq!(get(&app, &alice, ID).json(200), last);

    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    post(&app, &alice, &order()).json(202);
    let job = app.get("/api/jobs?kind=image").token(&alice).send().json(200)["items"][0].clone();
    let cancel = format!("/api/jobs/{}/cancel", job["id"].as_str().unwrap());
    app.post(&cancel).token(&alice).send().json(200);
    run(&app);
    assert_eq!(told(&app), ["failed"]);
    assert_eq!(app.world.receiver.bodies()[0]["error_message"], "La génération a été annulée");
    assert_eq!(post(&app, &alice, &order()).json(202), json!({ "job_id": ID, "status": "failed" }));
}
