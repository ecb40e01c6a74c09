//! `GET /api/credits`.

use serde_json::json;

use crate::support::{
    app::{TestApp, config},
    nodes::Behaviour,
    world::World,
};

#[test]
fn tells_what_is_left_and_what_is_held() {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    let token = app.sign_in(200);
    let credits = || app.get("/api/credits").token(&token).send().json(200);
    assert_eq!(credits(), json!({"balance": 100, "reserved": 0}));
    let id = app.world.accepted(1);
    assert_eq!(credits(), json!({"balance": 100, "reserved": 1}));
    app.world.run_to_the_end(id);
    assert_eq!(credits(), json!({"balance": 99, "reserved": 0}));
}

#[test]
fn asks_for_a_token_and_for_the_database() {
    let app = TestApp::new();
    app.get("/api/credits").send().problem(401);
    let token = app.sign_in(200);
    app.world.faults.fail_calls("jobs.ledger", 1);
    app.get("/api/credits").token(&token).send().problem(503);
}

#[test]
fn a_job_keeps_the_price_it_was_accepted_at() {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    let token = app.sign_in(200);
    let price = |credits: i64| {
        let prices = json!({ "scene": credits });
        app.world.database.tables().settings.insert("prices".to_owned(), prices);
    };
    price(3);
    let id = app.world.accepted(1);
    price(5);
    app.world.run_to_the_end(id);
    let credits = app.get("/api/credits").token(&token).send().json(200);
    assert_eq!(credits, json!({"balance": 97, "reserved": 0}));
    assert_eq!(app.world.gates.settled(id), [3], "the account is told the row's price");

    // The account refuses by the price of now: it asks the ledger before it does.
    app.world.database.grant(app.world.alice.user_id, 7);
    app.world.clock.advance_ms(601_000);
    assert!(app.world.order(2).is_err(), "four left, five needed");
    price(0);
    app.world.order(3).expect("what costs nothing needs nothing");
}
