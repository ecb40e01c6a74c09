//! The audit queue's consumer: no entry is lost, none is stored twice.

use edge::{
    domains::{
        audit::{consume_audit, consume_dead_audit},
        jobs::generation_consumer::consume_dead_generation,
        outbox::outbox_consumer::consume_dead_outbox,
    },
    ports::delivery::{AuditEntry, Consumed, GenerationMessage, OutboxMessage},
};
use serde_json::json;

use crate::support::{app::TestApp, faults::Part, world::job_id};

fn entries(ids: &[&str]) -> Vec<AuditEntry> {
    let entry = |id: &&str| AuditEntry {
        id: (*id).to_owned(),
        user_id: None,
        action: "POST /api/generate/scene".to_owned(),
        metadata: json!({"status": 202}),
        timestamp: "2026-11-21T12:00:00Z".to_owned(),
    };
    ids.iter().map(entry).collect()
}

#[test]
fn a_batch_is_stored_and_a_repeat_changes_nothing() {
    let app = TestApp::new();
    let batch = entries(&["a", "b"]);
    for _ in 0..2 {
        let settled = app.world.clock.run(consume_audit(&app.state, &batch));
        assert_eq!(settled, [Consumed::Ack; 2]);
    }
    assert_eq!(app.world.database.tables().audit, batch);
}

#[test]
fn an_outage_loses_none() {
    let app = TestApp::new();
    let batch = entries(&["a", "b"]);
    app.world.faults.away(Part::Database, 3_600_000);
    let settled = app.world.clock.run(consume_audit(&app.state, &batch));
    assert_eq!(settled, [Consumed::Retry { delay_s: 30 }; 2]);
    let settled = app.world.clock.run(consume_dead_audit(&app.state, &batch));
    assert_eq!(settled, [Consumed::Retry { delay_s: 600 }; 2]);
    app.world.faults.heal();
    app.world.clock.run(consume_dead_audit(&app.state, &batch));
    assert_eq!(app.world.database.tables().audit.len(), 2);
}

#[test]
fn one_bad_entry_keeps_no_other_out() {
    let app = TestApp::new();
    app.world.database.refuse_audit("bad");
    let settled = app.world.clock.run(consume_audit(&app.state, &entries(&["a", "bad", "c"])));
    assert_eq!(settled, [Consumed::Ack, Consumed::Retry { delay_s: 30 }, Consumed::Ack]);
    let stored: Vec<_> =
        app.world.database.tables().audit.iter().map(|entry| entry.id.clone()).collect();
    assert_eq!(stored, ["a", "c"]);
}

#[test]
fn a_message_that_another_queue_gave_up_leaves_a_trace() {
    let app = TestApp::new();
    let job_id = job_id(7);
    let settled =
        app.world.clock.run(consume_dead_generation(&app.state, GenerationMessage { job_id }));
    assert_eq!(settled, Consumed::Ack);
    let settled = app
        .world
        .clock
        .run(consume_dead_outbox(&app.state, OutboxMessage { job_id: Some(job_id) }));
    assert_eq!(settled, Consumed::Ack);
    let noted = app.world.queues.audit();
    let actions: Vec<_> = noted.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["dead letter generation", "dead letter outbox"]);
    assert!(noted.iter().all(|entry| entry.metadata["job_id"] == job_id.to_string()));
}
