//! Accepting: a promise is only made with row and message stored, and a broken one leaves nothing behind.

use edge::{
    error::Error,
    ports::delivery::{Consumed, GenerationMessage},
};
use shared::api::jobs::JobStatus;

use crate::support::{
    faults::{Fault, Part},
    nodes::Behaviour,
    world::{World, job_id},
};

fn world() -> World {
    World::with_nodes([Behaviour::default()])
}

fn retry_after_s(error: &Error) -> u32 {
    match error {
        Error::Unavailable { retry_after_s, .. } | Error::RateLimited { retry_after_s, .. } => {
            *retry_after_s
        }
        other => panic!("{other}"),
    }
}

#[test]
fn an_accepted_job_is_stored_and_queued() {
    let world = world();
    let job = world.order(1).unwrap();
    assert_eq!((job.status, job.id), (JobStatus::Queued, job_id(1)));
    assert_eq!(world.queues.waiting_generation(), [GenerationMessage { job_id: job.id }]);
    assert_eq!(world.gates.events(job.id).len(), 1);
}

#[test]
fn without_a_node_nothing_is_half_made() {
    let world = World::empty();
    let error = world.order(1).unwrap_err();
    assert_eq!(retry_after_s(&error), 15);
    assert!(world.database.tables().jobs.is_empty());
    assert!(world.queues.waiting_generation().is_empty());
    let calls = world.faults.calls();
    assert_eq!(calls, [(Part::Gate, "fleet.has_model")], "nothing was reserved");
}

#[test]
fn without_credits_there_is_no_job() {
    let world = world();
    world.database.grant(world.alice.user_id, 1);
    world.accepted(1);
    let error = world.order(2).unwrap_err();
    assert!(matches!(error, Error::NoCredit { balance: 1, reserved: 1 }), "{error}");
    world.run_to_the_end(job_id(1));
    let error = world.order(2).unwrap_err();
    assert!(matches!(error, Error::NoCredit { balance: 0, reserved: 0 }), "{error}");
    assert_eq!(world.database.tables().jobs.len(), 1);
}

#[test]
fn a_fifth_job_at_once_has_to_wait() {
    let world = world();
    for number in 1..=4 {
        world.accepted(number);
    }
    let error = world.order(5).unwrap_err();
    assert!(matches!(error, Error::RateLimited { policy: "open-jobs", limit: 4, .. }), "{error}");
    assert_eq!(retry_after_s(&error), 10);
    world.deliver();
    world.accepted(5);
}

#[test]
fn the_same_order_again_is_the_same_job() {
    let world = world();
    world.accepted(1);
    world.accepted(1);
    assert_eq!(world.database.tables().jobs.len(), 1);
    world.run_to_the_end(job_id(1));
    let again = world.order(1).unwrap();
    assert_eq!(again.status, JobStatus::Completed);
    assert!(world.queues.waiting_generation().is_empty());
    world.assert_completed_once(job_id(1), "ordered three times");
}

#[test]
fn a_repeat_after_a_failure_is_a_new_job_and_always_the_same_one() {
    let world = world();
    world.faults.fail_calls("queue.generation", 1);
    world.order(1).unwrap_err();
    assert_eq!(world.job(job_id(1)).status, JobStatus::Cancelled);
    let second = world.order(1).unwrap();
    assert_ne!(second.id, job_id(1));
    assert_eq!(world.order(1).unwrap().id, second.id);
    assert_eq!(world.database.tables().jobs.len(), 2);
    world.run_to_the_end(second.id);
    world.assert_completed_once(second.id, "repeated");
}

#[test]
fn a_row_that_cannot_be_stored_gives_its_reservation_back_at_once() {
    let world = world();
    world.database.grant(world.alice.user_id, 1);
    world.faults.fail_calls("jobs.create", 1);
    world.order(1).unwrap_err();
    assert_eq!(world.gates.settled(job_id(1)), [0]);
    world.accepted(2);
}

#[test]
fn whatever_call_fails_a_refused_order_leaves_nothing_behind() {
    let probe = world();
    probe.accepted(1);
    let calls = probe.faults.calls();
    assert_eq!(calls.len(), 7, "{calls:?}");
    for (number, call) in calls.iter().enumerate() {
        for fault in [Fault::Before, Fault::After] {
            let context = format!("call {number} {call:?} fails {fault:?}");
            let world = world();
            world.database.grant(world.alice.user_id, 1);
            world.faults.strike(number, fault);
            let answer = world.order(1);
            world.faults.heal();
            match answer {
                Ok(job) => {
                    assert_eq!(call.1, "room.publish", "{context}: only watchers are not needed");
                    assert_eq!(world.queues.waiting_generation().len(), 1, "{context}");
                    world.run_to_the_end(job.id);
                    world.assert_completed_once(job.id, &context);
                }
                Err(error) => {
                    assert!(retry_after_s(&error) > 0, "{context}");
                    assert_nothing_remains(&world, &context);
                }
            }
        }
    }
}

/// No job runs, nothing is charged, and the only credit is free again.
fn assert_nothing_remains(world: &World, context: &str) {
    for _ in 0..3 {
        world.reap_after_s(61);
        while !world.queues.waiting_generation().is_empty() {
            assert_eq!(world.deliver(), Consumed::Ack, "{context}");
        }
    }
    assert!(world.nodes.orders("node-1").is_empty(), "{context}");
    assert!(world.database.tables().charges.is_empty(), "{context}");
    let id = world.order(2).expect(context).id;
    world.run_to_the_end(id);
    world.assert_completed_once(id, context);
}

#[test]
fn a_job_that_can_neither_be_queued_nor_taken_back_runs_later() {
    let world = world();
    world.faults.fail_calls("queue.generation", 1);
    // The database goes away between storing the row and taking it back: the third of its calls.
    let probe = World::with_nodes([Behaviour::default()]);
    probe.faults.fail_calls("queue.generation", 1);
    probe.order(1).unwrap_err();
    let cancel = probe.faults.calls().iter().position(|(_, name)| *name == "jobs.cancel").unwrap();
    world.faults.strike(cancel, Fault::Before);
    world.order(1).unwrap_err();
    world.faults.heal();
    assert_eq!(world.job(job_id(1)).status, JobStatus::Queued);
    world.run_to_the_end(job_id(1));
    world.assert_completed_once(job_id(1), "by the reaper");
}
