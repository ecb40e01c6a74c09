//! What the clock starts each minute.

use edge::{
    domains::{
        account_cron::compare_accounts, cron::run_minute,
        scenes::stray_files_cron::remove_stray_files,
    },
    ports::{
        gates::{Account, JobSize},
        system::{Clock, Random},
    },
};
use shared::api::jobs::{JobKind, JobStatus};

use crate::support::{
    app::{TestApp, config},
    nodes::Behaviour,
    world::{World, job_id},
};

#[test]
fn each_minute_lost_jobs_are_queued_and_the_outbox_is_woken() {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    let id = app.world.accepted(1);
    app.world.queues.take_generation().unwrap();
    app.world.clock.advance_ms(61_000);
    app.world.clock.run(run_minute(&app.state));
    assert_eq!(app.world.queues.waiting_generation()[0].job_id, id);
    assert_eq!(app.world.queues.take_outbox().len(), 1);
}

#[test]
fn one_failing_duty_keeps_no_other_from_its_turn() {
    let app = TestApp::new();
    // The first minute of the next hour, when retention is due.
    let past_hour_ms = app.world.clock.now_ms() % 3_600_000;
    app.world.clock.advance_ms(3_600_000 - past_hour_ms);
    let duties = ["jobs.reap", "queue.outbox", "jobs.delete_old_rows", "texts.delete_old"];
    for failing in duties {
        app.world.faults.start_counting();
        app.world.faults.fail_calls(failing, 1);
        app.world.clock.run(run_minute(&app.state));
        let calls: Vec<_> = app.world.faults.calls().iter().map(|(_, name)| *name).collect();
        assert_eq!(calls, duties, "{failing} fails");
    }
}

/// Chance at both ends of the range: the round begins before everybody, or after everybody.
struct At(u8);

impl Random for At {
    fn bytes(&self) -> [u8; 16] {
        [self.0; 16]
    }
}

#[test]
fn accounts_that_drifted_are_corrected_wherever_the_round_begins() {
    for start in [At(0), At(128), At(255)] {
        let world = World::with_nodes([Behaviour::default()]);
        let id = world.accepted(1);
        world.run_to_the_end(id);
        // A reservation whose request died before it stored anything, and was forgotten.
        let user = world.alice.user_id;
        let size = JobSize { kind: JobKind::Scene, pictures: 1 };
        let lost = world.gates.reserve(user, job_id(9), size, None);
        world.clock.run(lost).unwrap();
        let compare = || {
            let compared = compare_accounts(&world.database, &world.gates, &start);
            world.clock.run(compared).unwrap()
        };
        assert_eq!(compare(), 0, "too young to be told from one that is being stored");
        world.clock.advance_ms(61_000);
        assert_eq!(compare(), 1);
        assert_eq!(compare(), 0);
        assert_eq!(world.database.tables().counters["accounts_corrected"], 1);
    }
}

#[test]
fn the_clock_starts_the_comparison_six_times_an_hour_and_the_sweep_once() {
    let app = TestApp::new();
    let past_hour_ms = app.world.clock.now_ms() % 3_600_000;
    app.world.clock.advance_ms(3_600_000 - past_hour_ms);
    app.world.faults.start_counting();
    for _ in 0..60 {
        app.world.clock.run(run_minute(&app.state));
        app.world.clock.advance_ms(60_000);
    }
    let calls = app.world.faults.calls();
    let times = |name| calls.iter().filter(|(_, called)| *called == name).count();
    // Each comparison goes round: from where it began to the end, and from the beginning.
    assert_eq!((times("jobs.accounts"), times("scenes.stray_files")), (12, 1));
}

#[test]
fn a_picture_stored_for_a_job_that_was_cancelled_meanwhile_is_swept() {
    let world = World::with_nodes([Behaviour::default()]);
    let (kept, running) = (world.accepted(1), world.accepted(3));
    world.run_to_the_end(kept);
    let cancelled = world.accepted(2);
    let path = |id| format!("scenes/{}/{id}/0.png", world.alice.user_id);
    for id in [cancelled, running] {
        world.database.store_file(&path(id), "sha");
    }
    world.database.tables().jobs.get_mut(&cancelled).unwrap().job.status = JobStatus::Cancelled;
    let sweep = || world.clock.run(remove_stray_files(&world.database, &world.database)).unwrap();
    assert_eq!(sweep(), 1);
    assert_eq!(sweep(), 0);
    let tables = world.database.tables();
    assert_eq!(tables.counters["files_removed"], 1);
    assert!(!tables.files.contains_key(&path(cancelled)));
    assert!(tables.files.contains_key(&path(kept)) && tables.files.contains_key(&path(running)));
}
