//! Ordering images: the caller's own id, everything wrong at once, credits per picture, and no order half made.

use serde_json::{Value, json};

use super::{ID, app_with, get, order, post, run};
use crate::support::{faults::Fault, nodes::Behaviour, world::caller};

fn with(name: &str, value: Value) -> Value {
    let mut body = order();
    body[name] = value;
    body
}

#[test]
fn an_order_is_accepted_under_the_callers_own_id_and_becomes_the_pictures() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    let answer = post(&app, &alice, &order());
    assert_eq!(answer.header("location"), Some(&*format!("/api/images/{ID}")));
    assert_eq!(answer.json(202), json!({ "job_id": ID, "status": "queued" }));
    let queued = get(&app, &alice, ID).json(200);
    assert_eq!((&queued["status"], &queued["progress"]), (&json!("queued"), &json!(0)));

    run(&app);
    let image = &app.world.nodes.orders("node-1")[0].image;
    assert_eq!(image.prompt, "Un chat mignon, detailed illustration, clean lines, flat colours");
    assert_eq!((image.width, image.height, image.num_images), (Some(64), Some(32), Some(2)));
    assert_eq!(image.steps, Some(30));
    let tables = app.world.database.tables();
    let files: Vec<&String> = tables.files.keys().collect();
    assert_eq!(files, [&format!("images/{ID}/image_1.png"), &format!("images/{ID}/image_2.png")]);
    assert_eq!(tables.charges.iter().map(|(_, _, credits)| *credits).collect::<Vec<_>>(), [2]);
    drop(tables);
    let done = get(&app, &alice, ID).json(200);
    assert_eq!(done["data"]["images"][1]["file_path"], format!("images/{ID}/image_2.png"));
    assert_eq!(
        done["data"]["images"][0]["url"],
        format!("https://files.example/images/{ID}/image_1.png?for=3600")
    );
}

#[test]
fn without_an_id_one_is_chosen_and_named_again_it_is_the_same_job() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    let body = json!({ "prompt": "a cat" });
    let first = post(&app, &alice, &body).json(202);
    let again = json!({ "prompt": "a cat", "job_id": first["job_id"] });
    assert_eq!(post(&app, &alice, &again).json(202), first);
    assert_ne!(post(&app, &alice, &body).json(202)["job_id"], first["job_id"]);
    assert_eq!(app.world.database.tables().jobs.len(), 2);
}

#[test]
fn the_same_id_twice_is_the_same_job_whatever_else_is_said_and_whatever_became_of_it() {
    let app = app_with(Behaviour { refuses: true, ..Behaviour::default() });
    let alice = app.sign_in(200);
    let first = post(&app, &alice, &order()).json(202);
    assert_eq!(post(&app, &alice, &with("prompt", json!("another"))).json(202), first);
    assert_eq!(app.world.queues.waiting_generation().len(), 1);
    run(&app);
    assert_eq!(post(&app, &alice, &order()).json(202), json!({ "job_id": ID, "status": "failed" }));
    assert_eq!(app.world.database.tables().jobs.len(), 1);
    assert_eq!(app.get("/api/credits").token(&alice).send().json(200)["reserved"], 0);
}

#[test]
fn somebody_elses_id_is_refused_and_their_images_are_not_there() {
    let app = app_with(Behaviour::default());
    let (alice, mallory) = (app.sign_in(200), app.sign_in(66));
    post(&app, &alice, &order()).json(202);
    let refused = post(&app, &mallory, &order()).problem(409);
    assert!(!refused.detail.contains("chat"), "{}", refused.detail);
    get(&app, &mallory, ID).problem(404);
    get(&app, &mallory, "never-ordered").problem(404);
    get(&app, &mallory, "..%2F..").problem(404);
    assert_eq!(app.get("/api/credits").token(&mallory).send().json(200)["reserved"], 0);
    assert_eq!(app.world.queues.waiting_generation().len(), 1);
}

#[test]
fn everything_wrong_is_named_at_once() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    let body = json!({
        "job_id": "a b", "num_images": 0, "size": "64*64", "format": "GIF", "quality": 1,
        "input_image_url": "https://10.0.0.1/x.png", "seed": 4,
    });
    let found = post(&app, &alice, &body).field_errors();
    let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/prompt",
            "/job_id",
            "/input_image_url",
            "/num_images",
            "/size",
            "/format",
            "/quality",
            "/seed"
        ]
    );
    assert!(app.world.database.tables().jobs.is_empty());
}

#[test]
fn each_picture_costs_and_an_order_beyond_the_balance_leaves_nothing() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    app.world.database.grant(caller(200, None).user_id, 3);
    post(&app, &alice, &order()).json(202);
    let mut second = with("job_id", json!("another"));
    post(&app, &alice, &second).problem(402);
    second["num_images"] = json!(1);
    post(&app, &alice, &second).json(202);
}

#[test]
fn a_caller_who_waits_gets_what_the_last_webhook_says() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    let call = app.post("/api/images/generate").token(&alice).header("prefer", "wait=60");
    let ordering = call.json(&order()).send_async();
    let running = async {
        edge::ports::system::Clock::sleep_ms(&app.world.clock, 500).await;
        let message = app.world.queues.take_generation().unwrap();
        edge::domains::jobs::generation_consumer::consume(&app.world.ports(), message).await
    };
    let (answer, _) = app.world.clock.run(futures_util::future::join(ordering, running));
    assert_eq!(answer.header("preference-applied"), Some("wait=60"));
    assert_eq!(answer.header("location"), Some(&*format!("/api/images/{ID}")));
    let body = answer.json(201);
    assert_eq!(body["status"], "completed");
    assert_eq!(get(&app, &alice, ID).json(200), body);
}

#[test]
fn an_idempotency_key_gives_the_first_answer_again_and_makes_one_job() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    let send = || {
        let call = app.post("/api/images/generate").token(&alice).header("idempotency-key", "k-1");
        call.json(&json!({ "prompt": "a cat" })).send()
    };
    let first = send().json(202);
    let again = send();
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json(202), first);
    assert_eq!(app.world.database.tables().jobs.len(), 1);
}

#[test]
fn an_order_that_fails_anywhere_can_be_sent_again_under_its_id() {
    for fault in [Fault::Before, Fault::After] {
        for number in 0..12 {
            let app = app_with(Behaviour::default());
            let alice = app.sign_in(200);
            app.world.faults.strike(number, fault);
            let answer = post(&app, &alice, &order());
            app.world.faults.heal();
            let context = format!("{fault:?} at call {number}");
            assert!([202, 503].contains(&answer.status.as_u16()), "{context}: {}", answer.text());
            assert_eq!(post(&app, &alice, &order()).json(202)["job_id"], ID, "{context}");
            app.world.reap_after_s(61);
            run(&app);
            assert_eq!(get(&app, &alice, ID).json(200)["status"], "completed", "{context}");
            assert_eq!(app.world.database.tables().charges.len(), 1, "{context}");
        }
    }
}

#[test]
fn without_a_node_or_a_token_nothing_is_ordered() {
    let app = app_with(Behaviour::default());
    app.post("/api/images/generate").json(&order()).send().problem(401);
    let app = crate::support::app::TestApp::new();
    let alice = app.sign_in(200);
    post(&app, &alice, &order()).problem(503);
    assert!(app.world.database.tables().generations.is_empty());
}
