//! Coming back to an answer: `Last-Event-ID` on the same request, and `GET /api/ai-assistant/runs/{id}/events`.

use super::generate::{PATH, app, ask, events, question, said};
use crate::support::{
    answer::Answer,
    app::TestApp,
    faults::Part,
    writers::{Ending, Script},
};

fn watch(app: &TestApp, token: &str, path: &str, after: Option<u64>) -> Answer {
    let call = app.get(path).token(token);
    match after {
        Some(after) => call.header("last-event-id", &after.to_string()).send(),
        None => call.send(),
    }
}

#[test]
fn goes_on_without_loss_or_repeat_while_the_text_is_written() {
    let (app, token) = app(1);
    app.text_rooms.hand_over_at_the_first_word();
    let answer = ask(&app, &token);
    let first = events(&answer);
    assert_eq!(said(&first), "Hello ", "the caller left with the first word");
    let path = answer.header("location").unwrap();
    let rest = events(&watch(&app, &token, path, Some(1)));
    assert_eq!(rest[0].0, 2);
    assert_eq!(said(&rest), "there friend");
    assert_eq!(rest.last().unwrap().1, "done");

    let again = app.post(PATH).token(&token).header("last-event-id", "1").json(&question()).send();
    assert_eq!(events(&again), rest);
    assert_eq!(again.header("x-chandelle-cache"), Some("miss"));
    assert_eq!(app.world.writers.requests("node-1").len(), 1);
    assert_eq!(app.world.database.tables().texts.len(), 1, "coming back is no new text");
}

#[test]
fn every_place_in_the_stream_is_a_place_to_go_on_from() {
    let (app, token) = app(1);
    let answer = ask(&app, &token);
    let (all, path) = (events(&answer), answer.header("location").unwrap());
    for seen in 0..all.len() {
        assert_eq!(events(&watch(&app, &token, path, Some(seen as u64))), all[seen..]);
    }
    assert_eq!(watch(&app, &token, path, Some(all.len() as u64)).status, 204);
    assert_eq!(events(&watch(&app, &token, path, None)), all);
}

#[test]
fn an_answer_that_broke_off_is_told_to_its_end_to_whoever_comes_back() {
    let (app, token) = app(1);
    let broken = Script::says("Half an").ends(Ending::Broken);
    app.world.writers.follow("node-1", [broken, Script::says("A whole one")]);
    app.text_rooms.hand_over_at_the_first_word();
    let answer = ask(&app, &token);
    let path = answer.header("location").unwrap();
    let rest = events(&watch(&app, &token, path, Some(1)));
    assert_eq!(rest.last().unwrap().1, "error");
    let back = app.post(PATH).token(&token).header("last-event-id", "1").json(&question()).send();
    assert_eq!(events(&back), rest);
    // Whoever asks anew, and saw nothing of it, gets a new one.
    app.post(PATH).token(&token).json(&question()).send();
    assert_eq!(app.world.writers.requests("node-1").len(), 2);
}

#[test]
fn an_answer_that_was_lost_with_its_room_is_503_to_whoever_comes_back_and_begun_anew_for_others() {
    let (app, token) = app(1);
    let answer = ask(&app, &token);
    let path = answer.header("location").unwrap();
    app.text_rooms.lose_the_runs();
    let back = app.post(PATH).token(&token).header("last-event-id", "2").json(&question()).send();
    let resumed = watch(&app, &token, path, Some(2));
    let (posted, got) = (back.problem(503), resumed.problem(503));
    assert_eq!((posted.code, &posted.detail), (got.code, &got.detail));
    assert_eq!(app.world.writers.requests("node-1").len(), 1, "nothing is written twice");
    assert_eq!(app.world.database.tables().texts.len(), 1, "and nothing held twice");
    assert_eq!(said(&events(&ask(&app, &token))), "Hello there friend");
    assert_eq!(app.world.writers.requests("node-1").len(), 2);
}

#[test]
fn an_answer_of_somebody_else_cannot_be_heard() {
    let (app, token) = app(1);
    let answer = ask(&app, &token);
    let path = answer.header("location").unwrap();
    let stranger = app.sign_in(7);
    app.world.faults.start_counting();
    watch(&app, &stranger, path, None).problem(404);
    let calls = app.world.faults.calls();
    assert!(calls.iter().all(|(_, name)| *name != "room.text"), "{calls:?}");
    watch(&app, &token, "/api/ai-assistant/runs/6f9619ff-8b86-4d01-b42d-00cf4fc964ff/events", None)
        .problem(404);
    watch(&app, &token, "/api/ai-assistant/runs/nonsense/events", None).problem(404);
}

#[test]
fn a_part_that_is_away_is_503() {
    let (app, token) = app(1);
    let answer = ask(&app, &token);
    let path = answer.header("location").unwrap();
    for part in [Part::Gate, Part::Database] {
        app.world.faults.away(part, 1_000);
        watch(&app, &token, path, None).problem(503);
        app.world.faults.heal();
    }
}
