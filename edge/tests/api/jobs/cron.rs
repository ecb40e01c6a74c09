//! What the clock starts each minute.

use edge::domains::cron::run_minute;

use crate::support::{
    app::{TestApp, config},
    nodes::Behaviour,
    world::World,
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
    let past_hour_ms = edge::ports::system::Clock::now_ms(&app.world.clock) % 3_600_000;
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
