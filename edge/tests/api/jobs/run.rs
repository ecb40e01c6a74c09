//! Running jobs: nodes die, fill up and fail, people cancel, and messages come twice.

use edge::{
    domains::jobs::{
        generation_consumer::consume,
        run::{RunOutcome, run_job},
        service::cancel_job,
    },
    ports::{
        delivery::{Consumed, GenerationMessage},
        stores::JobStore,
    },
};
use futures_util::future::join;
use serde_json::json;
use shared::api::jobs::{JobEvent, JobStatus};

use crate::support::{
    nodes::Behaviour,
    world::{LEASE_S, World, job_id, new_scene, scene_input},
};

fn statuses(events: &[JobEvent]) -> Vec<JobStatus> {
    let mut statuses: Vec<JobStatus> = events.iter().map(|event| event.status).collect();
    statuses.dedup();
    statuses
}

#[test]
fn a_job_goes_through_its_life_once() {
    let world = World::with_nodes([Behaviour::default()]);
    let id = world.accepted(1);
    assert_eq!(world.deliver(), Consumed::Ack);
    world.assert_completed_once(id, "plain");
    assert_eq!(
        statuses(&world.gates.events(id)),
        [
            JobStatus::Queued,
            JobStatus::Initializing,
            JobStatus::Generating,
            JobStatus::Saving,
            JobStatus::Completed
        ]
    );
    let order = &world.nodes.orders("node-1")[0];
    assert_eq!(
        order.image.prompt,
        "a red wizard, on the left, a tall castle, ice kingdom, medieval era"
    );
    assert_eq!(world.nodes.reports("node-1"), [true]);
    assert_eq!(world.queues.take_outbox().len(), 1);
}

#[test]
fn the_row_hears_of_progress_once_a_second_and_watchers_three_times() {
    let world = World::with_nodes([Behaviour { step_ms: 100, ..Behaviour::default() }]);
    let id = world.accepted(1);
    world.faults.start_counting();
    world.deliver();
    let reports = world.faults.calls().iter().filter(|(_, name)| *name == "jobs.report").count();
    assert_eq!(reports, 3, "generating, one second later, saving");
    let steps = world.gates.events(id).iter().filter(|e| e.message.starts_with("step ")).count();
    assert_eq!(steps, 4, "every third of 12, a tenth of a second each");
}

#[test]
fn a_message_delivered_twice_at_once_is_one_job() {
    let world = World::with_nodes([Behaviour::default()]);
    let id = world.accepted(1);
    let message = world.queues.take_generation().unwrap();
    let ports = world.ports();
    let both = join(consume(&ports, message.clone()), consume(&ports, message.clone()));
    let (first, second) = world.clock.run(both);
    assert_eq!((first, second), (Consumed::Ack, Consumed::Retry { delay_s: LEASE_S + 1 }));
    assert_eq!(world.consume(message), Consumed::Ack);
    world.assert_completed_once(id, "twice");
    assert_eq!(world.nodes.orders("node-1").len(), 1);
}

#[test]
fn two_runs_of_one_job_end_it_once() {
    let world = World::with_nodes([Behaviour::default()]);
    let id = world.accepted(1);
    let ports = world.ports();
    let second = async {
        // The first one's lease is taken for run out, as after a long stop of its machine.
        edge::ports::system::Clock::sleep_ms(&world.clock, 2_000).await;
        world.database.tables().jobs.get_mut(&id).unwrap().lease_until_ms = None;
        run_job(&ports, id).await
    };
    let outcomes = world.clock.run(join(run_job(&ports, id), second));
    assert_eq!(outcomes, (RunOutcome::Done, RunOutcome::Done));
    world.assert_completed_once(id, "two runs");
    assert_eq!(world.nodes.orders("node-1").len(), 1, "the second attached");
}

#[test]
fn a_node_that_dies_mid_run_is_replaced_by_another() {
    let dying = Behaviour { is_down: 2_000..u64::MAX, ..Behaviour::default() };
    let world = World::with_nodes([dying, Behaviour::default()]);
    let id = world.accepted(1);
    assert_eq!(world.deliver(), Consumed::Ack);
    world.assert_completed_once(id, "other node");
    assert_eq!(world.nodes.reports("node-1"), [true, false]);
    let (first, second) = (world.nodes.orders("node-1"), world.nodes.orders("node-2"));
    assert_eq!(first, second, "the same order, seed included: the same picture");
}

#[test]
fn the_only_node_restarts_and_the_job_runs_again() {
    let restarting = Behaviour { is_down: 2_000..9_000, ..Behaviour::default() };
    let world = World::with_nodes([restarting]);
    let id = world.accepted(1);
    assert_eq!(world.deliver(), Consumed::Retry { delay_s: 5 });
    let job = world.job(id);
    assert_eq!((job.status, job.attempts), (JobStatus::Queued, 1));
    assert_eq!(job.message, "interrupted, to be run again");
    world.run_to_the_end(id);
    world.assert_completed_once(id, "restarted");
    let orders = world.nodes.orders("node-1");
    assert_eq!(orders.len(), 2);
    assert_eq!(orders[0], orders[1], "the same order, seed included: the same picture");
}

#[test]
fn a_stream_that_breaks_is_attached_again_without_a_second_run() {
    let cut = Behaviour { cuts: vec![4], ..Behaviour::default() };
    let world = World::with_nodes([cut]);
    let id = world.accepted(1);
    assert_eq!(world.deliver(), Consumed::Ack);
    world.assert_completed_once(id, "cut");
    assert_eq!(world.nodes.orders("node-1").len(), 1);
}

#[test]
fn a_stream_that_breaks_each_minute_still_moves_the_job_on() {
    let cut = Behaviour { cuts: vec![4, 6, 8, 10, 12], ..Behaviour::default() };
    let world = World::with_nodes([cut]);
    let id = world.accepted(1);
    assert_eq!(world.deliver(), Consumed::Ack);
    world.assert_completed_once(id, "often cut");
}

#[test]
fn a_stream_that_breaks_at_the_same_place_is_given_up() {
    let stuck = Behaviour { cuts: vec![4, 4], ..Behaviour::default() };
    let world = World::with_nodes([stuck, Behaviour::default()]);
    let id = world.accepted(1);
    assert_eq!(world.deliver(), Consumed::Ack);
    world.assert_completed_once(id, "stuck");
    assert_eq!(world.nodes.reports("node-1"), [true, false]);
    assert_eq!(world.nodes.orders("node-2").len(), 1);
}

#[test]
fn a_picture_lost_with_its_node_is_drawn_again_elsewhere() {
    let world = World::with_nodes([Behaviour::default(), Behaviour::default()]);
    let id = world.accepted(1);
    world.faults.fail_calls("node.artifact", 1);
    assert_eq!(world.deliver(), Consumed::Ack);
    world.assert_completed_once(id, "lost picture");
    assert_eq!(world.nodes.orders("node-2").len(), 1);
}

#[test]
fn a_full_node_is_passed_by_and_costs_no_attempt() {
    let full = || Behaviour { is_full: 0..60_000, ..Behaviour::default() };
    let world = World::with_nodes([full(), Behaviour::default()]);
    let id = world.accepted(1);
    world.deliver();
    world.assert_completed_once(id, "second node");

    let world = World::with_nodes([full(), full()]);
    let id = world.accepted(1);
    assert_eq!(world.deliver(), Consumed::Retry { delay_s: 7 });
    let job = world.job(id);
    assert_eq!((job.status, job.attempts), (JobStatus::Queued, 0));
    assert_eq!(job.message, "all nodes are busy");
    world.run_to_the_end(id);
    world.assert_completed_once(id, "free again");
}

#[test]
fn without_a_node_a_job_waits_and_says_so() {
    let world = World::with_nodes([Behaviour::default()]);
    let id = world.accepted(1);
    edge_leave(&world, "node-1");
    for _ in 0..20 {
        assert_eq!(world.deliver(), Consumed::Retry { delay_s: 5 });
    }
    let job = world.job(id);
    assert_eq!((job.status, job.attempts), (JobStatus::Queued, 0));
    assert_eq!(world.gates.events(id).last().unwrap().message, "waiting for a free place");
    world.nodes.add("node-2", crate::support::world::MODEL, Behaviour::default());
    world.run_to_the_end(id);
    world.assert_completed_once(id, "a node came");
}

fn edge_leave(world: &World, node_id: &str) {
    let left = edge::ports::fleet::Fleet::leave(&world.nodes, node_id);
    world.clock.run(left).unwrap();
}

#[test]
fn a_refused_job_fails_at_once_and_costs_nothing() {
    let refusing = Behaviour { refuses: true, ..Behaviour::default() };
    let world = World::with_nodes([refusing, Behaviour::default()]);
    let id = world.accepted(1);
    assert_eq!(world.deliver(), Consumed::Ack);
    assert_failed(&world, id, "invalid_request");
    assert!(world.nodes.orders("node-2").is_empty());
}

#[test]
fn a_failure_that_may_pass_is_tried_elsewhere() {
    let failing = Behaviour { failures: vec![("out_of_memory", true)], ..Behaviour::default() };
    let world = World::with_nodes([failing, Behaviour::default()]);
    let id = world.accepted(1);
    assert_eq!(world.deliver(), Consumed::Ack);
    world.assert_completed_once(id, "elsewhere");
    assert_eq!(world.nodes.stopped("node-1"), [id], "or the next try would attach to the failure");
}

#[test]
fn a_failure_for_good_ends_the_job() {
    let failing = Behaviour { failures: vec![("bad_model", false)], ..Behaviour::default() };
    let world = World::with_nodes([failing, Behaviour::default()]);
    let id = world.accepted(1);
    assert_eq!(world.deliver(), Consumed::Ack);
    assert_failed(&world, id, "bad_model");
    assert_eq!(world.job(id).error.unwrap().detail, "bad_model happened");
}

#[test]
fn a_job_that_breaks_every_node_is_given_up_after_eight_attempts() {
    let poisoned = Behaviour { failures: vec![("crash", true); 20], ..Behaviour::default() };
    let world = World::with_nodes([poisoned]);
    let id = world.accepted(1);
    world.run_to_the_end(id);
    assert_failed(&world, id, "attempts_exhausted");
    assert_eq!(world.nodes.orders("node-1").len(), 8);
}

#[test]
fn an_input_that_did_not_pass_the_edge_fails_before_any_node_sees_it() {
    let world = World::with_nodes([Behaviour::default()]);
    let mut input = scene_input();
    input["world"] = json!("");
    let new = new_scene(1, input);
    let created = JobStore::create(&world.database, &world.alice.token, &new);
    let id = world.clock.run(created).unwrap().id;
    world.reap_after_s(61);
    assert_eq!(world.deliver(), Consumed::Ack);
    assert_failed(&world, id, "invalid_input");
    assert!(world.nodes.orders("node-1").is_empty());
}

fn assert_failed(world: &World, id: shared::ids::JobId, code: &str) {
    let job = world.job(id);
    assert_eq!(job.status, JobStatus::Failed);
    assert_eq!(job.error.as_ref().unwrap().code, code);
    let tables = world.database.tables();
    assert!(tables.charges.is_empty() && tables.scenes.is_empty());
    assert_eq!(tables.outbox.len(), 1);
    assert_eq!(tables.outbox[0].row.event, "scene.failed");
    drop(tables);
    assert_eq!(world.gates.settled(id), [0]);
    world.assert_told(id, JobStatus::Failed, code);
}

#[test]
fn a_job_cancelled_mid_run_stops_on_the_node_and_costs_nothing() {
    let world = World::with_nodes([Behaviour::default()]);
    let id = world.accepted(1);
    let ports = world.ports();
    let cancelling = async {
        edge::ports::system::Clock::sleep_ms(&world.clock, 2_000).await;
        cancel_job(&ports, &world.alice, id).await
    };
    let (outcome, cancelled) = world.clock.run(join(run_job(&ports, id), cancelling));
    assert_eq!(outcome, RunOutcome::Done);
    assert_eq!(cancelled.unwrap().status, JobStatus::Cancelled);
    assert!(world.clock.elapsed_ms() < 3_500, "noticed within a second or so");
    assert_eq!(world.nodes.stopped("node-1"), [id]);
    assert!(world.gates.settled(id).iter().all(|credits| *credits == 0));
    assert!(world.database.tables().charges.is_empty());
    assert!(world.database.tables().outbox.is_empty());
    world.assert_told(id, JobStatus::Cancelled, "cancelled");
}

#[test]
fn a_job_cancelled_before_its_run_never_starts() {
    let world = World::with_nodes([Behaviour::default()]);
    let id = world.accepted(1);
    world.clock.run(cancel_job(&world.ports(), &world.alice, id)).unwrap();
    assert_eq!(world.deliver(), Consumed::Ack);
    assert!(world.nodes.orders("node-1").is_empty());
    world.assert_told(id, JobStatus::Cancelled, "cancelled");
}

#[test]
fn a_silent_node_does_not_lose_the_lease() {
    let slow = Behaviour { step_ms: 45_000, ..Behaviour::default() };
    let world = World::with_nodes([slow]);
    let id = world.accepted(1);
    let message = world.queues.take_generation().unwrap();
    let ports = world.ports();
    let intruder = async {
        edge::ports::system::Clock::sleep_ms(&world.clock, 40_000).await;
        run_job(&ports, id).await
    };
    let (outcome, intruded) = world.clock.run(join(consume(&ports, message), intruder));
    assert_eq!(intruded, RunOutcome::Retry { delay_s: LEASE_S + 1 });
    assert_eq!(outcome, Consumed::Ack);
    world.assert_completed_once(id, "slow");
}

#[test]
fn a_long_run_is_handed_to_a_fresh_delivery_that_attaches() {
    let long = Behaviour { step_ms: 120_000, ..Behaviour::default() };
    let world = World::with_nodes([long]);
    let id = world.accepted(1);
    assert_eq!(world.deliver(), Consumed::Ack);
    assert_eq!(world.clock.elapsed_ms() / 60_000, 10);
    assert_eq!(world.queues.waiting_generation(), [GenerationMessage { job_id: id }]);
    assert_eq!(world.job(id).status, JobStatus::Generating, "nobody sees the change of hands");
    assert_eq!(world.deliver(), Consumed::Ack, "the lease was let go");
    assert_eq!(world.clock.elapsed_ms() / 60_000, 20);
    world.run_to_the_end(id);
    world.assert_completed_once(id, "long");
    assert_eq!(world.nodes.orders("node-1").len(), 1);
}

#[test]
fn a_hand_over_that_cannot_be_queued_is_a_retry() {
    let long = Behaviour { step_ms: 120_000, ..Behaviour::default() };
    let world = World::with_nodes([long]);
    let id = world.accepted(1);
    let message = world.queues.take_generation().unwrap();
    world.faults.fail_calls("queue.generation", 1);
    assert_eq!(world.consume(message), Consumed::Retry { delay_s: 2 });
    world.run_to_the_end(id);
    world.assert_completed_once(id, "long");
}

#[test]
fn a_message_for_a_job_that_is_gone_is_dropped() {
    let world = World::empty();
    assert_eq!(world.consume(GenerationMessage { job_id: job_id(9) }), Consumed::Ack);
}

#[test]
fn a_second_attempt_compares_the_account_with_the_ledger() {
    let world = World::with_nodes([Behaviour { cuts: vec![3, 3], ..Behaviour::default() }]);
    let id = world.accepted(1);
    world.run_to_the_end(id);
    assert!(world.faults.calls().iter().any(|(_, name)| *name == "account.forget_balance"));
}
