//! `GET /api/jobs/{id}/events`.

use crate::support::{
    answer::Answer,
    app::{TestApp, config},
    faults::Part,
    nodes::Behaviour,
    world::{World, job_id},
};

fn watched() -> (TestApp, String, String) {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    let token = app.sign_in(200);
    let id = app.world.accepted(1);
    (app, token, format!("/api/jobs/{id}/events"))
}

fn numbers(answer: &Answer) -> Vec<u64> {
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let lines = answer.text().lines();
    lines.filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
}

#[test]
fn streams_what_happened_from_the_beginning() {
    let (app, token, path) = watched();
    app.world.run_to_the_end(job_id(1));
    let answer = app.get(&path).token(&token).send();
    let events = numbers(&answer);
    assert_eq!(events, (1..=events.len() as u64).collect::<Vec<_>>());
    assert!(answer.text().contains("event: generating\n"));
    assert!(answer.text().contains("\"status\":\"completed\",\"progress\":100"));
}

#[test]
fn goes_on_after_the_last_event_that_was_seen() {
    let (app, token, path) = watched();
    app.world.run_to_the_end(job_id(1));
    let all = numbers(&app.get(&path).token(&token).send());
    let header = app.get(&path).token(&token).header("last-event-id", "3").send();
    assert_eq!(numbers(&header), all[3..]);
    let query = app.get(&format!("{path}?last_event_id=5")).token(&token).send();
    assert_eq!(numbers(&query), all[5..]);
    // An `EventSource` that reconnects keeps its first query and adds the header.
    let both = app.get(&format!("{path}?last_event_id=2")).token(&token);
    assert_eq!(numbers(&both.header("last-event-id", "6").send()), all[6..]);
    let end = all.last().unwrap().to_string();
    let seen = app.get(&path).token(&token).header("last-event-id", &end).send();
    assert_eq!(seen.status, 204);
}

#[test]
fn a_job_of_somebody_else_cannot_be_watched() {
    let (app, _, path) = watched();
    let stranger = app.sign_in(7);
    app.world.faults.start_counting();
    app.get(&path).token(&stranger).send().problem(404);
    let calls = app.world.faults.calls();
    assert!(calls.iter().all(|(_, name)| *name != "room.watch"), "{calls:?}");
    app.get(&path).send().problem(401);
}

#[test]
fn a_room_or_a_database_that_is_away_is_503() {
    let (app, token, path) = watched();
    for part in [Part::Gate, Part::Database] {
        app.world.faults.away(part, 1_000);
        app.get(&path).token(&token).send().problem(503);
    }
}

#[test]
fn a_long_run_tells_whole_percents_and_not_more_than_three_a_second() {
    for step_ms in [10, 100, 2_000] {
        let behaviour = Behaviour { steps: 150, step_ms, ..Behaviour::default() };
        let world = World::with_nodes([behaviour]);
        let id = world.accepted(1);
        world.run_to_the_end(id);
        world.assert_completed_once(id, "150 steps");
        let events = world.gates.events(id);
        let most = (150 * step_ms / 300).min(76) + 6;
        assert!(events.len() as u64 <= most, "{} events at {step_ms} ms a step", events.len());
        let drawn: Vec<u8> = events.iter().map(|event| event.progress).collect();
        assert!(drawn.windows(2).all(|pair| pair[0] <= pair[1]), "{drawn:?}");
    }
}
