//! `/api/admin/outbox`.

use edge::ports::delivery::Delivery;

use crate::support::{
    app::{TestApp, config},
    nodes::Behaviour,
    world::World,
};

const LIST: &str = "/api/admin/outbox";

fn app_with_dead_message() -> (TestApp, String) {
    let world = World::with_nodes([Behaviour::default()]);
    let id = world.accepted(1);
    world.run_to_the_end(id);
    world.discord.answer([Delivery::Refused { cause: "HTTP 404".to_owned() }]);
    world.deliver_outbox().unwrap();
    world.queues.take_outbox();
    let path = format!("{LIST}/{}/replay", world.database.tables().outbox[0].row.id);
    (TestApp::on(world, config()), path)
}

#[test]
fn an_admin_sees_what_was_given_up_and_has_it_tried_again() {
    let (app, replay) = app_with_dead_message();
    let admin = app.sign_in_as(9, Some("admin"));
    let page = app.get("/api/admin/outbox?status=dead").token(&admin).send().json(200);
    assert_eq!(page["items"][0]["event"], "scene.completed");
    assert_eq!(page["items"][0]["last_error"], "HTTP 404");
    let pending = app.get("/api/admin/outbox?status=pending").token(&admin).send().json(200);
    assert_eq!(pending["items"].as_array().unwrap().len(), 0);

    assert_eq!(app.post(&replay).token(&admin).send().status, 202);
    assert_eq!(app.world.queues.take_outbox().len(), 1);
    app.world.deliver_outbox().unwrap();
    assert_eq!(app.world.database.tables().outbox[0].row.status, "delivered");
    app.post(&replay).token(&admin).send().problem(409);
}

#[test]
fn others_may_neither_look_nor_replay() {
    let (app, replay) = app_with_dead_message();
    let person = app.sign_in(200);
    app.get(LIST).token(&person).send().problem(403);
    app.post(&replay).token(&person).send().problem(403);
    app.get(LIST).send().problem(401);
    app.post(&replay).send().problem(401);
    assert_eq!(app.world.database.tables().outbox[0].row.status, "dead");
}

#[test]
fn an_unknown_message_is_404_and_an_unknown_status_422() {
    let (app, _) = app_with_dead_message();
    let admin = app.sign_in_as(9, Some("admin"));
    let unknown = format!("{LIST}/{}/replay", uuid::Uuid::from_u128(77));
    app.post(&unknown).token(&admin).send().problem(404);
    let errors = app.get("/api/admin/outbox?status=lost").token(&admin).send().field_errors();
    assert_eq!(errors, [("/status".to_owned(), "choice".to_owned())]);
}

#[test]
fn without_the_database_the_answer_is_503() {
    let (app, replay) = app_with_dead_message();
    let admin = app.sign_in_as(9, Some("admin"));
    app.world.faults.fail_calls("outbox.list", 1);
    app.get(LIST).token(&admin).send().problem(503);
    app.world.faults.fail_calls("outbox.replay", 1);
    app.post(&replay).token(&admin).send().problem(503);
}
