//! Delivering: every message arrives, in order per job, at the pace the webhook wants.

use edge::{
    domains::outbox::{
        deliver::{Next, deliver_outbox},
        outbox_consumer::consume_outbox,
    },
    ports::delivery::{Consumed, Delivery, OutboxMessage},
};
use shared::ids::JobId;

use crate::support::{
    app::{TestApp, config},
    faults::Part,
    nodes::Behaviour,
    world::World,
};

fn world_with_scenes(count: u8) -> World {
    let world = World::with_nodes([Behaviour::default()]);
    for number in 1..=count {
        let id = world.accepted(number);
        world.run_to_the_end(id);
    }
    world
}

fn retry(after_s: Option<u32>) -> Delivery {
    Delivery::Retry { after_s, cause: "HTTP 500".to_owned() }
}

fn entry(world: &World, index: usize) -> edge::ports::stores::OutboxRow {
    world.database.tables().outbox[index].row.clone()
}

#[test]
fn posts_each_message_once() {
    let world = world_with_scenes(12);
    assert_eq!(world.deliver_outbox().unwrap(), Next::Nothing);
    assert_eq!(world.deliver_outbox().unwrap(), Next::Nothing);
    assert_eq!(world.discord.posted().len(), 12);
    assert_eq!(world.discord.posted()[0]["embeds"][0]["fields"][0]["value"], "ice kingdom");
    assert_eq!(entry(&world, 11).status, "delivered");
}

#[test]
fn backs_off_when_the_webhook_fails() {
    let world = world_with_scenes(1);
    world.discord.answer([retry(None), retry(None)]);
    assert_eq!(world.deliver_outbox().unwrap(), Next::After { delay_s: 5 });
    assert_eq!(world.deliver_outbox().unwrap(), Next::Nothing, "it is not due yet");
    world.clock.advance_ms(5_000);
    assert_eq!(world.deliver_outbox().unwrap(), Next::After { delay_s: 10 });
    world.clock.advance_ms(10_000);
    assert_eq!(world.deliver_outbox().unwrap(), Next::Nothing);
    assert_eq!(entry(&world, 0).status, "delivered");
    assert_eq!(world.discord.posted().len(), 3);
}

#[test]
fn a_pause_the_webhook_asks_for_holds_for_all_its_messages() {
    let world = world_with_scenes(3);
    world.discord.answer([retry(Some(17))]);
    assert_eq!(world.deliver_outbox().unwrap(), Next::After { delay_s: 17 });
    assert_eq!(world.discord.posted().len(), 1, "a second call would count against us");
    world.clock.advance_ms(16_000);
    world.deliver_outbox().unwrap();
    assert_eq!(world.discord.posted().len(), 1);
    world.clock.advance_ms(1_000);
    assert_eq!(world.deliver_outbox().unwrap(), Next::Nothing);
    assert_eq!(world.discord.posted().len(), 4);
}

#[test]
fn gives_up_what_is_refused_at_once_and_the_rest_after_a_day() {
    let world = world_with_scenes(1);
    world.discord.answer([Delivery::Refused { cause: "HTTP 404".to_owned() }]);
    world.deliver_outbox().unwrap();
    assert_eq!(entry(&world, 0).status, "dead");
    assert_eq!(entry(&world, 0).last_error.as_deref(), Some("HTTP 404"));

    let world = world_with_scenes(1);
    world.discord.answer(vec![retry(None); 100]);
    let begun_ms = world.clock.elapsed_ms();
    while entry(&world, 0).status == "pending" {
        world.deliver_outbox().unwrap();
        world.clock.advance_ms(60_000);
    }
    let hours = (world.clock.elapsed_ms() - begun_ms) / 3_600_000;
    assert!((22..=26).contains(&hours), "{hours}");
    assert_eq!(world.discord.posted().len(), 33);
    assert!(entry(&world, 0).last_error.unwrap().contains("33 attempts"));
}

#[test]
fn without_a_webhook_messages_are_given_up_and_say_why() {
    let world = world_with_scenes(1);
    let ports =
        edge::domains::outbox::deliver::OutboxPorts { discord: None, ..world.outbox_ports() };
    world.clock.run(deliver_outbox(&ports)).unwrap();
    assert_eq!(entry(&world, 0).status, "dead");
    assert_eq!(entry(&world, 0).last_error.as_deref(), Some("no webhook configured"));
}

#[test]
fn messages_about_one_job_keep_their_order() {
    let world = world_with_scenes(1);
    let mut later = world.database.tables().outbox[0].clone();
    later.row.id = uuid::Uuid::from_u128(99).to_string();
    later.row.event = "scene.failed".to_owned();
    world.database.tables().outbox.push(later);
    world.discord.answer([retry(None)]);
    world.deliver_outbox().unwrap();
    assert_eq!(world.discord.posted().len(), 1, "the second waits for the first");
    world.clock.advance_ms(5_000);
    world.deliver_outbox().unwrap();
    let titles: Vec<_> =
        world.discord.posted().iter().map(|p| p["embeds"][0]["color"].clone()).collect();
    assert_eq!(titles, [0x3498DB, 0x3498DB, 0xE74C3C]);
}

#[test]
fn a_delivered_message_is_settled_even_if_the_database_is_away_for_a_while() {
    let world = world_with_scenes(1);
    world.faults.fail_calls("outbox.settle", 5);
    assert_eq!(world.deliver_outbox().unwrap(), Next::Nothing);
    assert_eq!(entry(&world, 0).status, "delivered");
    assert_eq!(world.discord.posted().len(), 1);
}

#[test]
fn the_consumer_looks_again_when_something_is_due_soon() {
    let app = TestApp::on(world_with_scenes(1), config());
    app.world.queues.take_outbox();
    let deliver = || {
        let message = OutboxMessage { job_id: None::<JobId> };
        app.world.clock.run(consume_outbox(&app.state, message))
    };
    app.world.discord.answer([retry(None), retry(Some(600))]);
    assert_eq!(deliver(), Consumed::Ack);
    assert_eq!(app.world.queues.take_outbox(), [(OutboxMessage { job_id: None }, 5)]);
    app.world.clock.advance_ms(5_000);
    assert_eq!(deliver(), Consumed::Ack);
    assert!(app.world.queues.take_outbox().is_empty(), "the minute's tick comes before");
    app.world.faults.away(Part::Database, 1_000_000);
    assert_eq!(deliver(), Consumed::Retry { delay_s: 30 });
}
