//! `GET /api/metrics`.

use crate::{
    ai_assistant,
    support::{
        app::{METRICS_TOKEN, TestApp, config},
        faults::Part,
        nodes::Behaviour,
        world::World,
        writers::{Ending, Script},
    },
};

#[test]
fn shows_jobs_messages_and_nodes() {
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config());
    app.world.accepted(1);
    app.world.accepted(2);
    app.world.deliver();
    let answer = app.get("/api/metrics").token(METRICS_TOKEN).send();
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    insta::assert_snapshot!(answer.text());
}

#[test]
fn says_so_when_the_numbers_cannot_be_had() {
    let app = TestApp::new();
    app.world.faults.away(Part::Database, 60_000);
    app.get("/api/metrics").token(METRICS_TOKEN).send().problem(503);
}

#[test]
fn counts_texts_tokens_kept_answers_and_switches() {
    let (app, token) = ai_assistant::generate::app(2);
    let dies = Script::says("").ends(Ending::Broken);
    app.world.writers.follow("node-1", [dies, Script::says("Hello")]);
    for _ in 0..3 {
        ai_assistant::generate::ask(&app, &token);
    }
    let answer = app.get("/api/metrics").token(METRICS_TOKEN).send();
    for line in [
        r#"chandelle_texts_total{kind="assistant",status="completed",cache="miss"} 1"#,
        r#"chandelle_texts_total{kind="assistant",status="completed",cache="hit"} 2"#,
        "chandelle_text_prompt_tokens_total 100",
        "chandelle_text_completion_tokens_total 3",
        "chandelle_text_switches_total 1",
        "chandelle_text_written_total 1",
        "chandelle_text_first_token_ms_total 100",
        "chandelle_text_duration_ms_total 300",
        "chandelle_nodes_texts 0",
    ] {
        assert!(answer.text().lines().any(|found| found == line), "{line}\n{}", answer.text());
    }
}
