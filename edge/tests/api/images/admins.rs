//! Whose images they are: the caller's, unless an admin orders for somebody.

use serde_json::{Value, json};

use super::{ID, app_with, get, order, post, run};
use crate::support::{app::TestApp, nodes::Behaviour, world::caller};

fn order_for(user_id: &str) -> Value {
    let mut body = order();
    body["user_id"] = json!(user_id);
    body
}

fn reserved(app: &TestApp, token: &str) -> Value {
    app.get("/api/credits").token(token).send().json(200)["reserved"].clone()
}

#[test]
fn a_person_orders_for_themselves_alone() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    let other = caller(66, None).user_id.to_string();
    post(&app, &alice, &order_for(&other)).problem(403);
    post(&app, &alice, &order_for("user_2abc123")).problem(403);
    let own = caller(200, None).user_id.to_string();
    assert_eq!(post(&app, &alice, &order_for(&own)).json(202)["job_id"], ID);
}

#[test]
fn an_admin_orders_for_somebody_who_owns_it_and_pays() {
    let app = app_with(Behaviour::default());
    let (admin, alice) = (app.sign_in_as(1, Some("admin")), app.sign_in(200));
    let owner = caller(200, None).user_id.to_string();
    post(&app, &admin, &order_for(&owner)).json(202);
    assert_eq!((reserved(&app, &alice), reserved(&app, &admin)), (json!(2), json!(0)));
    run(&app);
    assert_eq!(app.world.database.tables().charges[0].0, caller(200, None).user_id);
    assert_eq!(get(&app, &alice, ID).json(200)["status"], "completed");
    assert_eq!(get(&app, &admin, ID).json(200)["status"], "completed", "an admin sees everybody's");
}

#[test]
fn an_admin_learns_that_an_id_is_taken_and_that_nobody_is_called_so() {
    let app = app_with(Behaviour::default());
    let (admin, alice) = (app.sign_in_as(1, Some("admin")), app.sign_in(200));
    post(&app, &alice, &order()).json(202);
    post(&app, &admin, &order()).problem(409);
    let found = post(&app, &admin, &order_for("nobody")).field_errors();
    assert_eq!(found, [("/user_id".to_owned(), "format".to_owned())]);
}
