//! When an issuer's keys are fetched, and what happens when they can't be.

use edge::{error::Error, ports::system::Clock};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{
    app::TestApp,
    issuer::{claims, signed_token},
    keys::KeyPair,
};

/// A token nobody has seen: each person has another one.
fn fresh_token(app: &TestApp, person: u8, kid: &str) -> String {
    signed_token(&claims(&app.world.clock, person, None), &KeyPair::es256(7), kid)
}

fn is_accepted(app: &TestApp, token: &str) -> bool {
    match app.world.clock.run(app.state.tokens.verify(token)) {
        Ok(_) => true,
        Err(Error::Unauthenticated { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

fn app_with_key(kid: &str) -> TestApp {
    let app = TestApp::new();
    app.key_sets.publish(vec![KeyPair::es256(7).jwk(kid)]);
    app
}

#[test]
fn keys_are_kept_for_ten_minutes() {
    let app = app_with_key("one");
    assert!(is_accepted(&app, &fresh_token(&app, 1, "one")));
    app.world.clock.advance_ms(599_000);
    assert!(is_accepted(&app, &fresh_token(&app, 2, "one")));
    assert_eq!(app.key_sets.fetches(), 1);
    app.world.clock.advance_ms(2_000);
    assert!(is_accepted(&app, &fresh_token(&app, 3, "one")));
    assert_eq!(app.key_sets.fetches(), 2);
}

#[test]
fn a_rotated_key_is_found_at_once_but_made_up_names_do_not_hammer_the_issuer() {
    let app = app_with_key("one");
    assert!(is_accepted(&app, &fresh_token(&app, 1, "one")));
    app.world.clock.advance_ms(30_000);
    app.key_sets.publish(vec![KeyPair::es256(7).jwk("two")]);
    assert!(is_accepted(&app, &fresh_token(&app, 2, "two")));
    assert_eq!(app.key_sets.fetches(), 2);
    for number in 0..50 {
        assert!(!is_accepted(&app, &fresh_token(&app, 3, &format!("made-up-{number}"))));
    }
    assert_eq!(app.key_sets.fetches(), 2);
    assert!(!is_accepted(&app, &fresh_token(&app, 4, "one")), "the old key is gone");
    app.world.clock.advance_ms(30_000);
    assert!(!is_accepted(&app, &fresh_token(&app, 5, "made-up")));
    assert_eq!(app.key_sets.fetches(), 3);
}

#[test]
fn a_crowd_of_first_requests_makes_one_fetch() {
    let app = app_with_key("one");
    app.key_sets.set_slow(300);
    let tokens: Vec<_> = (1..=40).map(|person| fresh_token(&app, person, "one")).collect();
    let verified = join_all(tokens.iter().map(|token| app.state.tokens.verify(token)));
    let verified = app.world.clock.run(verified);
    assert!(verified.iter().all(Result::is_ok));
    assert_eq!(app.key_sets.fetches(), 1);
}

#[test]
fn old_keys_serve_a_crowd_while_one_request_fetches_newer_ones() {
    let app = app_with_key("one");
    assert!(is_accepted(&app, &fresh_token(&app, 1, "one")));
    app.world.clock.advance_ms(601_000);
    app.key_sets.set_slow(300);
    let before_ms = app.world.clock.elapsed_ms();
    let tokens: Vec<_> = (2..=9).map(|person| fresh_token(&app, person, "one")).collect();
    let mut requests = tokens.iter().map(|token| app.state.tokens.verify(token));
    let first = requests.next().unwrap();
    let others = async {
        let all = join_all(requests).await;
        (all, app.world.clock.elapsed_ms() - before_ms)
    };
    let (first, (others, took_ms)) = app.world.clock.run(futures_util::future::join(first, others));
    assert!(first.is_ok() && others.iter().all(Result::is_ok));
    assert_eq!((app.key_sets.fetches(), took_ms), (2, 0));
}

#[test]
fn old_keys_serve_while_the_issuer_is_away() {
    let app = app_with_key("one");
    assert!(is_accepted(&app, &fresh_token(&app, 1, "one")));
    app.key_sets.set_away(true);
    app.world.clock.advance_ms(3_600_000);
    assert!(is_accepted(&app, &fresh_token(&app, 2, "one")));
    assert!(is_accepted(&app, &fresh_token(&app, 3, "one")));
    assert_eq!(app.key_sets.fetches(), 2, "one try, then the floor");
    app.key_sets.set_away(false);
    app.key_sets.publish_document(json!({"message": "an error page with status 200"}));
    app.world.clock.advance_ms(30_000);
    assert!(is_accepted(&app, &fresh_token(&app, 4, "one")));
}

#[test]
fn without_any_key_it_is_the_issuer_that_is_unavailable_not_the_token_that_is_bad() {
    let app = app_with_key("one");
    app.key_sets.set_away(true);
    let token = fresh_token(&app, 1, "one");
    for _ in 0..5 {
        let answer = app.get("/api/admin/settings/prices").token(&token).send();
        answer.problem(503);
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    assert_eq!(app.key_sets.fetches(), 1);
    app.key_sets.set_away(false);
    app.world.clock.advance_ms(2_000);
    assert!(is_accepted(&app, &token));
}

#[test]
fn a_request_cancelled_while_it_fetches_does_not_lock_the_others_out() {
    let app = app_with_key("one");
    app.key_sets.set_slow(60_000);
    let token = fresh_token(&app, 1, "one");
    {
        let mut cancelled = Box::pin(app.state.tokens.verify(&token));
        let waker = std::task::Waker::noop();
        assert!(cancelled.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    app.key_sets.set_slow(0);
    assert!(is_accepted(&app, &token));
    assert!(app.world.clock.elapsed_ms() <= 6_000);
}

#[test]
fn a_withdrawn_key_opens_nothing_any_more_not_even_with_a_token_seen_before() {
    let app = app_with_key("one");
    let old = fresh_token(&app, 1, "one");
    assert!(is_accepted(&app, &old));
    app.key_sets.publish(vec![KeyPair::es256(8).jwk("two")]);
    app.world.clock.advance_ms(30_000);
    assert!(is_accepted(&app, &old), "nobody has looked yet");
    let new = signed_token(&claims(&app.world.clock, 2, None), &KeyPair::es256(8), "two");
    assert!(is_accepted(&app, &new), "the new key made us look");
    assert!(!is_accepted(&app, &old));
}

#[test]
fn without_other_callers_a_withdrawn_key_is_missed_within_a_quarter_of_an_hour() {
    let app = app_with_key("one");
    let mut all = claims(&app.world.clock, 1, None);
    all["exp"] = (app.world.clock.now_ms() / 1000 + 86_400).into();
    let token = signed_token(&all, &KeyPair::es256(7), "one");
    assert!(is_accepted(&app, &token));
    app.key_sets.publish(vec![KeyPair::es256(8).jwk("two")]);
    let mut minutes = 0;
    while is_accepted(&app, &token) {
        app.world.clock.advance_ms(60_000);
        minutes += 1;
        assert!(minutes <= 16);
    }
}

#[test]
fn keys_of_an_issuer_that_is_away_for_a_day_serve_no_longer() {
    let app = app_with_key("one");
    assert!(is_accepted(&app, &fresh_token(&app, 1, "one")));
    app.key_sets.set_away(true);
    app.world.clock.advance_ms(23 * 3_600_000);
    assert!(is_accepted(&app, &fresh_token(&app, 2, "one")));
    app.world.clock.advance_ms(3_600_000);
    let answer = app.get("/api/admin/settings/prices").token(&fresh_token(&app, 3, "one")).send();
    answer.problem(503);
}
