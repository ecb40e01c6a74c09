//! `POST /api/ai-assistant/generate`: the stream, its nodes, and its bill.

use axum::http::Method;
use edge::ports::{fleet::NodeFailure, text::CacheState};
use serde_json::{Value, json};
use shared::{
    errors::ErrorCode,
    node::text::{ReasoningEffort, Role},
};

use crate::support::{
    answer::Answer,
    app::{TestApp, config},
    database::TextRow,
    faults::Part,
    nodes::Behaviour,
    world::{TEXT_MODEL, World, caller},
    writers::{Ending, PROMPT_TOKENS, Script},
};

pub const PATH: &str = "/api/ai-assistant/generate";

/// An app with so many nodes that have the text model, and Alice's token.
pub fn app(nodes: usize) -> (TestApp, String) {
    let world = World::empty();
    for number in 1..=nodes {
        world.nodes.add(&format!("node-{number}"), TEXT_MODEL, Behaviour::default());
    }
    let app = TestApp::on(world, config());
    let token = app.sign_in(200);
    (app, token)
}

pub fn question() -> Value {
    json!({"message": "How do I begin?", "language": "en"})
}

pub fn ask(app: &TestApp, token: &str) -> Answer {
    app.post(PATH).token(token).json(&question()).send()
}

/// Number, type and data of each event, after checking that the numbers follow each other.
#[track_caller]
pub fn events(answer: &Answer) -> Vec<(u64, String, Value)> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let event = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let data = serde_json::from_str(field("data: ")).unwrap();
        (field("id: ").parse().unwrap(), field("event: ").to_owned(), data)
    };
    let events: Vec<(u64, String, Value)> =
        answer.text().split("\n\n").filter(|block| !block.is_empty()).map(event).collect();
    assert!(events.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "{events:?}");
    events
}

/// The text of the deltas.
pub fn said(events: &[(u64, String, Value)]) -> String {
    let deltas = events.iter().filter(|(_, name, _)| name == "delta");
    deltas.map(|(_, _, data)| data["text"].as_str().unwrap()).collect()
}

/// The only row of `text_runs`.
#[track_caller]
pub fn row(app: &TestApp) -> TextRow {
    let tables = app.world.database.tables();
    assert_eq!(tables.texts.len(), 1);
    tables.texts.values().next().unwrap().clone()
}

fn status_of(app: &TestApp) -> (String, i64) {
    let row = row(app);
    (row.bill.unwrap().status, row.credits)
}

#[test]
fn streams_the_answer_with_its_bill_at_the_end() {
    let (app, token) = app(1);
    let answer = ask(&app, &token);
    let events = events(&answer);
    assert_eq!(said(&events), "Hello there friend");
    let names: Vec<&str> = events.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(names, ["delta", "delta", "delta", "usage", "done"]);
    assert_eq!(events[0].0, 1);
    let usage = json!({
        "event": "usage", "promptTokens": PROMPT_TOKENS, "completionTokens": 3, "totalTokens": 103, "credits": 1,
    });
    assert_eq!(events[3].2, usage);
    assert_eq!(events[4].2["finishReason"], "stop");
    assert_eq!(answer.header("x-chandelle-cache"), Some("miss"));
    let run = events[4].2["runId"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(&*format!("/api/ai-assistant/runs/{run}/events")));

    let row = row(&app);
    assert_eq!((row.kind.as_str(), row.credits, row.cache), ("assistant", 1, CacheState::Miss));
    assert_eq!(row.bill.unwrap().first_token_ms, Some(100));
    assert_eq!(app.world.gates.settled(run.parse().unwrap()), [1]);
    assert_eq!(
        app.get("/api/credits").token(&token).send().json(200),
        json!({"balance": 99, "reserved": 0})
    );
    assert_eq!(app.world.nodes.reports("node-1"), [true]);
}

#[test]
fn the_prompt_is_the_files_in_the_callers_language_with_the_turns_before() {
    let (app, token) = app(1);
    let body = json!({
        "message": "Et\nmaintenant ?", "temperature": 0, "maxTokens": 9,
        "history": [{"role": "user", "content": "Salut"}, {"role": "assistant", "content": "Bonjour"}],
    });
    let german = "ja, de-AT;q=0.9, en;q=0.2";
    app.post(PATH).token(&token).header("accept-language", german).json(&body).send();
    app.post(PATH).token(&token).json(&body).send();
    let requests = app.world.writers.requests("node-1");
    let [in_german, in_french] = &requests[..] else { panic!("{requests:?}") };
    let turns: Vec<(Role, &str)> = in_german
        .messages
        .iter()
        .map(|message| (message.role, message.content.as_deref().unwrap()))
        .collect();
    assert!(turns[0].1.starts_with("Du bist der Assistent"), "{}", turns[0].1);
    let spoken =
        [(Role::User, "Salut"), (Role::Assistant, "Bonjour"), (Role::User, "Et maintenant ?")];
    assert_eq!(turns[1..], spoken);
    assert!(in_french.messages[0].content.as_deref().unwrap().starts_with("Tu es l'assistant"));
    assert_eq!(in_german.model, TEXT_MODEL);
    assert_eq!((in_german.temperature, in_german.max_completion_tokens), (Some(0.0), Some(9)));
    assert!(in_german.stream && in_german.stream_options.unwrap().include_usage);
    assert_eq!(in_german.response_format, None);
    assert_eq!(in_german.reasoning_effort, Some(ReasoningEffort::None));
    assert_ne!(in_german.seed, in_french.seed);
}

#[test]
fn no_node_is_503_and_nothing_is_held() {
    let (app, token) = app(0);
    let answer = ask(&app, &token);
    assert_eq!(answer.problem(503).code, ErrorCode::Unavailable);
    assert_eq!(answer.header("retry-after"), Some("15"));
    assert!(app.world.database.tables().texts.is_empty());
    let calls = app.world.faults.calls();
    assert!(calls.iter().all(|(_, name)| *name != "account.reserve_text"), "{calls:?}");
}

#[test]
fn full_nodes_are_503_with_the_shortest_wait_and_no_blot_on_them() {
    let (app, token) = app(2);
    app.world.writers.follow("node-1", [Script::full(30)]);
    app.world.writers.follow("node-2", [Script::full(4)]);
    let answer = ask(&app, &token);
    assert_eq!(answer.problem(503).code, ErrorCode::Overloaded);
    assert_eq!(answer.header("retry-after"), Some("4"));
    assert_eq!(status_of(&app), ("failed".to_owned(), 0));
    assert!(
        app.world.nodes.reports("node-1").is_empty()
            && app.world.nodes.reports("node-2").is_empty()
    );
}

#[test]
fn a_full_node_is_passed_over() {
    let (app, token) = app(2);
    app.world.writers.follow("node-1", [Script::full(30)]);
    assert_eq!(said(&events(&ask(&app, &token))), "Hello there friend");
    assert_eq!(app.world.nodes.reports("node-2"), [true]);
}

#[test]
fn a_node_that_dies_before_its_first_word_is_replaced_unnoticed() {
    let gone = NodeFailure::Unreachable { cause: "connection refused".to_owned() };
    let deaths = [
        Script::refuses(gone),
        Script::says("").ends(Ending::Broken),
        Script::says("").ends(Ending::Cut),
        Script::says("").thinks(5).ends(Ending::Broken),
        Script::says("").ends(Ending::Silence),
    ];
    for death in deaths {
        let (app, token) = app(2);
        app.world.writers.follow("node-1", [death.clone()]);
        let answer = ask(&app, &token);
        let events = events(&answer);
        assert_eq!(said(&events), "Hello there friend", "{death:?}");
        assert_eq!(events.last().unwrap().1, "done");
        let bill = row(&app).bill.unwrap();
        assert_eq!((bill.status.as_str(), bill.switches), ("completed", 1), "{death:?}");
        assert_eq!(app.world.nodes.reports("node-1"), [false], "{death:?}");
        assert_eq!(app.world.nodes.reports("node-2"), [true], "{death:?}");
    }
}

#[test]
fn a_node_without_the_model_is_passed_over_and_keeps_its_good_name() {
    let (app, token) = app(2);
    app.world.writers.follow("node-1", [Script::refuses(NodeFailure::Unknown)]);
    assert_eq!(said(&events(&ask(&app, &token))), "Hello there friend");
    assert!(app.world.nodes.reports("node-1").is_empty());
    assert_eq!(app.world.nodes.reports("node-2"), [true]);

    let (app, token) = self::app(1);
    app.world.writers.follow("node-1", [Script::refuses(NodeFailure::Unknown)]);
    let answer = ask(&app, &token);
    assert_eq!(answer.problem(503).code, ErrorCode::Unavailable);
    assert_eq!(row(&app).bill.unwrap().error.as_deref(), Some("no_node"));
    assert_eq!(status_of(&app), ("failed".to_owned(), 0));
}

#[test]
fn a_node_that_thinks_for_longer_than_a_silence_may_last_is_alive() {
    let (app, token) = app(2);
    app.world.writers.follow("node-1", [Script::says("At last").thinks(600)]);
    let events = events(&ask(&app, &token));
    assert_eq!(said(&events), "At last", "no thought is told");
    assert!(app.world.writers.requests("node-2").is_empty());
    assert_eq!(app.world.nodes.reports("node-1"), [true]);
    assert_eq!(row(&app).bill.unwrap().first_token_ms, Some(60_100));
}

#[test]
fn an_answer_without_a_word_is_502_and_costs_nothing() {
    let length = Ending::Said("length");
    let empty = [
        Script::says("").ends(length),
        Script::says(" \n \n").ends(length),
        Script::says("").thinks(512).ends(length),
    ];
    for script in empty {
        let (app, token) = app(2);
        app.world.writers.follow("node-1", [script.clone()]);
        let problem = ask(&app, &token).problem(502);
        assert!(problem.detail.contains("without an answer"), "{}", problem.detail);
        assert_eq!(status_of(&app), ("failed".to_owned(), 0), "{script:?}");
        assert_eq!(row(&app).bill.unwrap().error.as_deref(), Some("empty"));
        let credits = app.get("/api/credits").token(&token).send().json(200);
        assert_eq!(credits, json!({"balance": 100, "reserved": 0}));
        assert_eq!(app.world.nodes.reports("node-1"), [true], "its node did as it was told");
    }
}

#[test]
fn three_silent_nodes_are_enough_and_nothing_is_charged() {
    let (app, token) = app(5);
    for number in 1..=5 {
        let silent = Script::says("").ends(Ending::Broken);
        app.world.writers.follow(&format!("node-{number}"), [silent]);
    }
    assert_eq!(ask(&app, &token).problem(503).code, ErrorCode::Unavailable);
    assert!(app.world.writers.requests("node-4").is_empty());
    assert_eq!(status_of(&app), ("failed".to_owned(), 0));
    let credits = app.get("/api/credits").token(&token).send().json(200);
    assert_eq!(credits, json!({"balance": 100, "reserved": 0}));
}

#[test]
fn a_node_that_dies_after_its_first_word_ends_the_stream_with_an_error() {
    for ending in [Ending::Broken, Ending::Cut, Ending::Silence] {
        let (app, token) = app(2);
        app.world.writers.follow("node-1", [Script::says("Hello the").ends(ending)]);
        let events = events(&ask(&app, &token));
        assert_eq!(said(&events), "Hello the");
        let names: Vec<&str> = events.iter().map(|(_, name, _)| name.as_str()).collect();
        assert_eq!(names, ["delta", "delta", "usage", "error"]);
        let problem = &events[3].2["problem"];
        assert_eq!((&problem["status"], &problem["code"]), (&json!(502), &json!("unavailable")));
        assert!(problem["detail"].as_str().unwrap().contains("broke off"), "{problem}");
        assert_eq!(problem["request_id"].as_str().map(str::len), Some(32));
        // Nobody else is asked, and the words that came are paid for.
        assert!(app.world.writers.requests("node-2").is_empty());
        assert_eq!(events[2].2["completionTokens"], 2);
        assert_eq!(status_of(&app), ("failed".to_owned(), 1));
        assert_eq!(app.world.nodes.reports("node-1"), [false]);
    }
}

#[test]
fn an_answer_nobody_listens_to_is_stopped_and_paid_as_far_as_it_came() {
    let (app, token) = app(1);
    let words = "word ".repeat(400);
    app.world.writers.follow("node-1", [Script::says(&words)]);
    app.text_rooms.desert();
    ask(&app, &token);
    let bill = row(&app).bill.unwrap();
    assert_eq!(bill.status, "cancelled");
    let written = bill.usage.completion_tokens;
    assert!((100..200).contains(&written), "fifteen seconds of words at ten per second: {written}");
    assert_eq!(app.world.writers.hung_up("node-1"), 1);
    assert_eq!(app.world.nodes.reports("node-1"), [true], "its node did nothing wrong");
}

#[test]
fn a_question_longer_than_the_model_reads_is_422() {
    let (app, token) = app(2);
    let refusal = NodeFailure::Refused {
        code: "context_length_exceeded".to_owned(),
        detail: "2048 tokens".to_owned(),
    };
    app.world.writers.follow("node-1", [Script::refuses(refusal)]);
    assert_eq!(ask(&app, &token).field_errors(), [(String::new(), "too_long".to_owned())]);
    let (app, token) = self::app(1);
    let refusal = NodeFailure::Refused { code: "bad".to_owned(), detail: "secret".to_owned() };
    app.world.writers.follow("node-1", [Script::refuses(refusal)]);
    let problem = ask(&app, &token).problem(502);
    assert!(!problem.detail.contains("secret"), "{}", problem.detail);
}

#[test]
fn no_credit_is_402_and_too_many_texts_429() {
    let (app, token) = app(1);
    app.world.database.grant(caller(200, None).user_id, 0);
    assert_eq!(ask(&app, &token).problem(402).code, ErrorCode::PaymentRequired);

    let (app, token) = self::app(1);
    app.world.writers.follow("node-1", [Script::says(&"word ".repeat(50))]);
    let asks = (0..5).map(|n| {
        let body = json!({"message": format!("question {n}")});
        app.post(PATH).token(&token).json(&body).send_async()
    });
    let answers = app.world.clock.run(futures_util::future::join_all(asks));
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].problem(429).code, ErrorCode::RateLimited);
    assert!(refused[0].header("retry-after").is_some());
}

#[test]
fn a_part_that_is_away_is_503_and_the_next_try_works() {
    let (app, token) = app(1);
    for part in [Part::Gate, Part::Database] {
        app.world.faults.away(part, 1_000);
        let answer = ask(&app, &token);
        answer.problem(503);
        assert!(answer.header("retry-after").is_some());
        app.world.faults.heal();
    }
    assert_eq!(said(&events(&ask(&app, &token))), "Hello there friend");
}

#[test]
fn a_database_that_is_away_at_the_end_delays_the_bill_and_not_the_answer() {
    let (app, token) = app(1);
    app.world.faults.fail_calls("texts.settle", 3);
    let events = events(&ask(&app, &token));
    assert_eq!(events.last().unwrap().1, "done");
    assert_eq!(status_of(&app), ("completed".to_owned(), 1));
    assert_eq!(app.world.database.tables().charges.len(), 1);
}

#[test]
fn the_same_key_is_the_same_run_and_with_another_body_422() {
    let (app, token) = app(1);
    let keyed = || app.post(PATH).token(&token).header("idempotency-key", "k");
    let first = keyed().json(&question()).send();
    let second = keyed().json(&question()).send();
    assert_eq!(events(&first), events(&second));
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(app.world.writers.requests("node-1").len(), 1);
    assert_eq!(app.world.database.tables().charges.len(), 1);
    keyed().json(&json!({"message": "Another?"})).send().problem(422);
}

#[test]
fn a_key_whose_first_try_failed_may_be_used_again() {
    let (app, token) = app(1);
    app.world.writers.follow("node-1", [Script::full(3), Script::says("At last")]);
    let keyed = || app.post(PATH).token(&token).header("idempotency-key", "k").json(&question());
    keyed().send().problem(503);
    assert_eq!(said(&events(&keyed().send())), "At last");
    assert_eq!(status_of(&app), ("completed".to_owned(), 1));
}

#[test]
fn the_alias_answers_too_and_the_call_is_audited() {
    let (app, token) = app(1);
    let alias = "/s2s_api_v1/ai-assistant/generate";
    let answer = app.post(alias).token(&token).json(&question()).send();
    assert_eq!(said(&events(&answer)), "Hello there friend");
    let entries = app.world.queues.audit();
    assert_eq!(entries[0].action, format!("{} {PATH}", Method::POST));
    assert!(!entries[0].metadata.to_string().contains("begin"), "no prompt in the audit");
}
