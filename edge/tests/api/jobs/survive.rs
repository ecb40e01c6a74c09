//! Whatever call fails, and whenever: a job that was accepted ends once, with each of its effects once.

use edge::ports::{delivery::Consumed, system::Clock};
use futures_util::future::join;
use shared::api::jobs::JobStatus;

use crate::support::{
    faults::{Fault, Part},
    nodes::Behaviour,
    world::World,
};

/// The calls of one undisturbed run, from its first delivery to the outbox being empty.
fn calls_of_a_run() -> Vec<(Part, &'static str)> {
    let world = World::with_nodes([Behaviour::default(), Behaviour::default()]);
    let id = world.accepted(1);
    world.faults.start_counting();
    world.run_to_the_end(id);
    world.drain_outbox();
    world.faults.calls()
}

#[test]
fn any_single_call_may_fail_before_or_after_it_took_effect() {
    let calls = calls_of_a_run();
    assert!(calls.len() > 30, "{calls:?}");
    for (number, call) in calls.iter().enumerate() {
        for fault in [Fault::Before, Fault::After] {
            let context = format!("call {number} {call:?} fails {fault:?}");
            let world = World::with_nodes([Behaviour::default(), Behaviour::default()]);
            let id = world.accepted(1);
            world.faults.strike(number, fault);
            world.run_to_the_end(id);
            world.faults.heal();
            world.drain_outbox();
            world.assert_completed_once(id, &context);
            let posted = world.discord.posted().len();
            assert_eq!(posted, 1, "{context}: patience outlasts a short failure");
        }
    }
}

#[test]
fn any_part_may_be_away_from_any_moment_on_for_twenty_seconds_or_five_minutes() {
    for part in [Part::Database, Part::Storage, Part::Node, Part::Gate, Part::Queue] {
        for begins_ms in (0..6_000).step_by(450) {
            for away_ms in [20_000, 300_000] {
                let context = format!("{part:?} away from {begins_ms} ms for {away_ms} ms");
                let world = World::with_nodes([Behaviour::default()]);
                let id = world.accepted(1);
                let message = world.queues.take_generation().unwrap();
                let ports = world.ports();
                let outage = async {
                    world.clock.sleep_ms(begins_ms).await;
                    world.faults.away(part, away_ms);
                };
                let delivery =
                    edge::domains::jobs::generation_consumer::consume(&ports, message.clone());
                let (consumed, ()) = world.clock.run(join(delivery, outage));
                if let Consumed::Retry { delay_s } = consumed {
                    world.queues.put_back(message, delay_s);
                }
                world.run_to_the_end(id);
                world.drain_outbox();
                world.assert_completed_once(id, &context);
                assert_eq!(world.discord.posted().len(), 1, "{context}");
            }
        }
    }
}

#[test]
fn a_worker_that_dies_at_any_moment_loses_nothing() {
    for dies_after_ms in (0..6_000).step_by(100) {
        let context = format!("dies after {dies_after_ms} ms");
        let world = World::with_nodes([Behaviour::default()]);
        let id = world.accepted(1);
        let message = world.queues.take_generation().unwrap();
        let ports = world.ports();
        let delivery = Box::pin(edge::domains::jobs::generation_consumer::consume(&ports, message));
        let death = world.clock.sleep_ms(dies_after_ms);
        // Whichever comes first; the delivery is dropped where it stands, its message with it.
        world.clock.run(async {
            futures_util::future::select(delivery, death).await;
        });
        world.reap_after_s(61);
        world.run_to_the_end(id);
        world.drain_outbox();
        world.assert_completed_once(id, &context);
        assert_eq!(world.discord.posted().len(), 1, "{context}");
    }
}

#[test]
fn a_job_that_was_stored_but_never_queued_is_found_by_the_reaper() {
    let world = World::with_nodes([Behaviour::default()]);
    let id = world.accepted(1);
    world.queues.take_generation().unwrap();
    world.reap_after_s(59);
    assert!(world.queues.waiting_generation().is_empty(), "its grace is not over");
    world.reap_after_s(2);
    assert_eq!(world.queues.waiting_generation().len(), 1);
    world.reap_after_s(2);
    assert_eq!(world.queues.waiting_generation().len(), 1, "once per grace");
    world.run_to_the_end(id);
    world.assert_completed_once(id, "reaped");
}

#[test]
fn a_reaper_that_cannot_queue_finds_the_job_again_after_the_grace() {
    let world = World::with_nodes([Behaviour::default()]);
    let id = world.accepted(1);
    world.queues.take_generation().unwrap();
    world.faults.fail_calls("queue.generation", 1);
    world.reap_after_s(61);
    assert!(world.queues.waiting_generation().is_empty());
    world.reap_after_s(61);
    world.run_to_the_end(id);
    assert_eq!(world.job(id).status, JobStatus::Completed);
}

#[test]
fn storage_away_longer_than_patience_costs_no_attempt() {
    let world = World::with_nodes([Behaviour::default()]);
    let id = world.accepted(1);
    world.faults.away(Part::Storage, 120_000);
    assert!(matches!(world.deliver(), Consumed::Retry { .. }));
    let job = world.job(id);
    assert_eq!((job.status, job.attempts, job.progress), (JobStatus::Queued, 0, 90));
    world.run_to_the_end(id);
    world.assert_completed_once(id, "storage");
    assert_eq!(world.nodes.orders("node-1").len(), 1, "the node kept the picture");
}
