//! What was written is given again, and what is being written is shared: to its own person, for the same request.

use edge::ports::text::CacheState;
use futures_util::future::{join, join_all};
use serde_json::json;

use super::generate::{PATH, app, ask, events, question, said};
use crate::support::{
    app::TestApp,
    writers::{Ending, Script},
};

fn written(app: &TestApp) -> usize {
    app.world.writers.requests("node-1").len()
}

/// Credits charged, and the cache states of all rows.
fn books(app: &TestApp) -> (i64, Vec<&'static str>) {
    let tables = app.world.database.tables();
    let charged = tables.charges.iter().map(|(_, _, credits)| credits).sum();
    let mut states: Vec<_> = tables.texts.values().map(|text| text.cache.as_str()).collect();
    states.sort_unstable();
    (charged, states)
}

#[test]
fn the_same_request_again_is_answered_at_once_and_for_nothing() {
    let (app, token) = app(1);
    let first = ask(&app, &token);
    let second = ask(&app, &token);
    assert_eq!(second.header("x-chandelle-cache"), Some("hit"));
    assert_eq!(events(&first), events(&second));
    assert_eq!(written(&app), 1);
    assert_eq!(books(&app), (1, vec!["hit", "miss"]));
}

#[test]
fn the_same_request_at_the_same_time_is_written_once() {
    let (app, token) = app(1);
    let call = || app.post(PATH).token(&token).json(&question()).send_async();
    let (first, second) = app.world.clock.run(join(call(), call()));
    assert_eq!(events(&first), events(&second));
    assert_eq!(first.header("x-chandelle-cache"), Some("miss"));
    assert_eq!(second.header("x-chandelle-cache"), Some("shared"));
    assert_eq!(written(&app), 1);
    assert_eq!(books(&app), (1, vec!["miss", "shared"]));
}

#[test]
fn those_who_share_share_a_failure_too_and_none_is_charged() {
    let (app, token) = app(1);
    app.world.writers.follow("node-1", [Script::says("").ends(Ending::Silence)]);
    let calls = (0..3).map(|_| app.post(PATH).token(&token).json(&question()).send_async());
    for answer in app.world.clock.run(join_all(calls)) {
        answer.problem(503);
    }
    assert_eq!(written(&app), 1);
    assert_eq!(books(&app), (0, vec!["miss"]));
}

#[test]
fn whoever_wants_it_anew_gets_it_anew() {
    let (app, token) = app(1);
    ask(&app, &token);
    let fresh = app.post(PATH).token(&token).header("cache-control", "no-cache");
    let fresh = fresh.json(&question()).send();
    assert_eq!(fresh.header("x-chandelle-cache"), Some("miss"));
    let requests = app.world.writers.requests("node-1");
    assert_eq!(requests.len(), 2);
    assert_ne!(requests[0].seed, requests[1].seed);
    assert_eq!(ask(&app, &token).header("x-chandelle-cache"), Some("hit"), "the newer one");
}

#[test]
fn an_hour_later_it_is_written_again_with_the_same_seed() {
    let (app, token) = app(1);
    ask(&app, &token);
    app.world.clock.advance_ms(59 * 60 * 1000);
    assert_eq!(ask(&app, &token).header("x-chandelle-cache"), Some("hit"));
    app.world.clock.advance_ms(60 * 1000);
    // The token's own hour is over as well.
    let token = app.sign_in(200);
    assert_eq!(ask(&app, &token).header("x-chandelle-cache"), Some("miss"));
    let requests = app.world.writers.requests("node-1");
    assert_eq!(requests[0], requests[1]);
}

#[test]
fn what_one_person_asked_says_nothing_to_another() {
    let (app, token) = app(1);
    let other = app.sign_in(7);
    ask(&app, &token);
    assert_eq!(ask(&app, &other).header("x-chandelle-cache"), Some("miss"));
    let (states, rooms): (Vec<_>, Vec<_>) = {
        let tables = app.world.database.tables();
        tables.texts.values().map(|text| (text.cache, text.room.clone())).unzip()
    };
    assert_eq!(states, [CacheState::Miss, CacheState::Miss]);
    assert_ne!(rooms[0], rooms[1]);
}

#[test]
fn everything_that_decides_the_answer_decides_the_room() {
    let (app, token) = app(1);
    let bodies = [
        question(),
        json!({"message": "How do I begin?", "language": "fr"}),
        json!({"message": "How do I begin?", "language": "en", "temperature": 0.1}),
        json!({"message": "How do I begin?", "language": "en", "maxTokens": 8}),
        json!({"message": "How do I begin?", "language": "en", "history": [{"role": "user", "content": "x"}]}),
        json!({"message": "How do I end?", "language": "en"}),
    ];
    for body in &bodies {
        let answer = app.post(PATH).token(&token).json(body).send();
        assert_eq!(said(&events(&answer)), "Hello there friend");
        assert_eq!(answer.header("x-chandelle-cache"), Some("miss"), "{body}");
    }
    // The language of the header and that of the body are the same language.
    let header = app.post(PATH).token(&token).header("accept-language", "en");
    let answer = header.json(&json!({"message": " How do I begin? "})).send();
    assert_eq!(answer.header("x-chandelle-cache"), Some("hit"));
}
