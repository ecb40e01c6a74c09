//! `POST /api/ai-assistant/tools/*`.

use serde_json::{Value, json};
use shared::node::text::ResponseFormat;

use super::generate::{app, row};
use crate::{
    content_ideas::generate::{ideas_text, order},
    support::{
        answer::Answer,
        app::TestApp,
        writers::{Ending, Script},
    },
};

const MESSAGE: &str = "/api/ai-assistant/tools/message-generator";
const PRICE: &str = "/api/ai-assistant/tools/pricing-optimizer";

fn message(app: &TestApp, token: &str) -> Answer {
    let body = json!({"purpose": "thank for the gift", "recipient": "Ada", "tone": "warm", "language": "en"});
    app.post(MESSAGE).token(token).json(&body).send()
}

fn price(app: &TestApp, token: &str) -> Answer {
    let body = json!({
        "contentType": "video", "currentPrice": 12.5, "currency": "EUR", "audience": ["beginners"],
        "history": ["sales rise"], "language": "en",
    });
    app.post(PRICE).token(token).json(&body).send()
}

fn advice(min: f64, best: f64, max: f64) -> String {
    json!({"recommendedPrice": best, "minPrice": min, "maxPrice": max, "reasoning": "Sales rise."})
        .to_string()
}

#[test]
fn a_message_comes_in_the_products_envelope() {
    let (app, token) = app(1);
    app.world.writers.follow("node-1", [Script::says(r#"{"message":"Dear Ada, thank you."}"#)]);
    let answer = message(&app, &token);
    let body = answer.json(200);
    assert_eq!(body["success"], true);
    assert_eq!(body["data"]["message"], "Dear Ada, thank you.");
    assert_eq!(body["data"]["language"], "en");
    assert_eq!(body["meta"]["requestId"].as_str(), answer.header("x-request-id"));
    assert_eq!(answer.header("x-chandelle-cache"), Some("miss"));
    let request = &app.world.writers.requests("node-1")[0];
    let user = request.messages[1].content.as_deref().unwrap();
    assert_eq!(user, "Purpose: thank for the gift\nRecipient: Ada\nTone: warm");
    let Some(ResponseFormat::JsonSchema { json_schema }) = &request.response_format else {
        panic!("{request:?}")
    };
    assert!(json_schema.strict && json_schema.name == "message");
    assert_eq!(json_schema.schema["required"], json!(["message"]));
    assert_eq!((row(&app).kind, row(&app).credits), ("message".to_owned(), 1));
}

#[test]
fn a_price_lies_between_its_bounds() {
    let (app, token) = app(1);
    app.world.writers.follow("node-1", [Script::says(&advice(10.0, 14.0, 18.0))]);
    let data = price(&app, &token).json(200)["data"].clone();
    let generated_at = data["generatedAt"].clone();
    assert_eq!(
        data,
        json!({
            "recommendedPrice": 14.0, "minPrice": 10.0, "maxPrice": 18.0, "currency": "EUR",
            "reasoning": "Sales rise.", "generatedAt": generated_at,
        })
    );
    let user = app.world.writers.requests("node-1")[0].messages[1].content.clone().unwrap();
    assert_eq!(
        user,
        "Content: video\nCurrent price: 12.5 EUR\nAudience: beginners\nPast sales: sales rise"
    );
}

#[test]
fn an_answer_that_cannot_be_used_is_asked_for_once_more() {
    let (app, token) = app(1);
    let bad = advice(20.0, 14.0, 18.0);
    app.world
        .writers
        .follow("node-1", [Script::says(&bad), Script::says(&advice(10.0, 14.0, 18.0))]);
    assert_eq!(price(&app, &token).json(200)["data"]["minPrice"], 10.0);
    let requests = app.world.writers.requests("node-1");
    assert_eq!(requests.len(), 2);
    assert_ne!(requests[0].seed, requests[1].seed);
    let bill = row(&app).bill.unwrap();
    assert_eq!(bill.usage.prompt_tokens, 200, "both calls are counted");
}

#[test]
fn twice_unusable_is_502_and_costs_nothing() {
    for (ask, texts) in [
        (message as fn(&TestApp, &str) -> Answer, ["no json", r#"{"message":""}"#]),
        (price, ["{}", r#"{"recommendedPrice":"much"}"#]),
    ] {
        let (app, token) = app(1);
        app.world.writers.follow("node-1", texts.map(Script::says));
        ask(&app, &token).problem(502);
        let row = row(&app);
        assert_eq!(row.credits, 0);
        assert_eq!(row.bill.unwrap().error.as_deref(), Some("bad_answer"));
        let credits = app.get("/api/credits").token(&token).send().json(200);
        assert_eq!(credits, json!({"balance": 100, "reserved": 0}));
    }
}

#[test]
fn nobody_saw_a_word_so_a_node_that_dies_in_the_middle_is_replaced() {
    let (app, token) = app(2);
    app.world.writers.follow("node-1", [Script::says(r#"{"message":"Dear"#).ends(Ending::Broken)]);
    app.world.writers.follow("node-2", [Script::says(r#"{"message":"Dear Ada."}"#)]);
    assert_eq!(message(&app, &token).json(200)["data"]["message"], "Dear Ada.");
    assert_eq!(row(&app).bill.unwrap().switches, 1);
    assert_eq!(app.world.nodes.reports("node-1"), [false]);
}

#[test]
fn the_same_order_again_is_kept_and_a_repeat_under_its_key_is_the_first_answer() {
    let (app, token) = app(1);
    app.world.writers.follow("node-1", [Script::says(r#"{"message":"Dear Ada."}"#)]);
    let first = message(&app, &token);
    let second = message(&app, &token);
    assert_eq!(second.header("x-chandelle-cache"), Some("hit"));
    assert_eq!(first.json(200)["data"], second.json(200)["data"]);
    let body = json!({"purpose": "invite", "recipient": "Bo"});
    let keyed =
        || app.post(MESSAGE).token(&token).header("idempotency-key", "k").json(&body).send();
    let once: Value = keyed().json(200);
    let twice = keyed();
    assert_eq!(twice.json(200), once, "with the first request's own meta");
    assert_eq!(twice.header("idempotency-replayed"), Some("true"));
    assert_eq!(app.world.writers.requests("node-1").len(), 2);
}

/// A text of exactly so many characters that differs from its neighbours.
fn long(name: &str, number: usize, chars: usize) -> String {
    let text = format!("{name} {number} {}", "é|".repeat(chars));
    text.chars().take(chars - 1).chain(['.']).collect()
}

#[track_caller]
fn prompt_of(app: &TestApp, path: &str, token: &str, body: &Value) -> String {
    let answer = app.post(path).token(token).json(body).send();
    assert_ne!(answer.status, 422, "{}", answer.text());
    app.world.writers.requests("node-1")[0].messages[1].content.clone().unwrap()
}

#[test]
fn everything_that_is_accepted_of_a_message_or_a_price_reaches_the_prompt() {
    let (app, token) = app(1);
    let parts =
        [("purpose", 200), ("recipient", 80), ("tone", 80), ("context", 600), ("template", 600)];
    let body: Value = parts
        .iter()
        .map(|(name, chars)| ((*name).to_owned(), json!(long(name, 0, *chars))))
        .collect();
    let prompt = prompt_of(&app, MESSAGE, &token, &body);
    for (name, _) in parts {
        assert!(prompt.contains(body[name].as_str().unwrap()), "{name}");
    }

    let (app, token) = self::app(1);
    let phrases = |name: &str| (0..20).map(|n| long(name, n, 120)).collect::<Vec<_>>();
    let body = json!({
        "contentType": long("type", 0, 120), "currentPrice": 12.5, "currency": "EUR",
        "audience": phrases("audience"), "history": phrases("sale"), "language": "en",
    });
    let prompt = prompt_of(&app, PRICE, &token, &body);
    let all = [long("type", 0, 120)].into_iter().chain(phrases("audience")).chain(phrases("sale"));
    for phrase in all {
        assert!(prompt.contains(&phrase), "{phrase}");
    }
}

#[test]
fn everything_that_is_accepted_of_a_profile_reaches_the_prompt() {
    let (app, token) = app(1);
    let phrases =
        |name: &str, count: usize| (0..count).map(|n| long(name, n, 120)).collect::<Vec<_>>();
    let titles: Vec<String> = (0..12).map(|n| long("title", n, 80)).collect();
    let figures = |name: &str| -> serde_json::Map<String, Value> {
        (0..12).map(|n| (long(name, n, 77), json!(10 + n))).collect()
    };
    let lists = [("niche", 10), ("audience", 20), ("goal", 20), ("equipment", 20), ("place", 20)];
    let mut body = order();
    let profile = &mut body["creatorProfile"];
    profile["niche"] = json!(phrases("niche", 10));
    profile["audiencePreferences"] = json!(phrases("audience", 20));
    profile["currentGoals"] = json!(phrases("goal", 20));
    profile["performanceHistory"] = json!({
        "topPerformingContent": titles, "engagementPatterns": figures("pattern"),
        "revenueByCategory": figures("revenue"),
    });
    profile["constraints"] = json!({
        "equipment": phrases("equipment", 20), "location": phrases("place", 20),
        "timeAvailability": long("time", 0, 120),
    });
    let prompt = prompt_of(&app, "/api/content-ideas/generate", &token, &body);
    let mut expected: Vec<String> =
        lists.into_iter().flat_map(|(name, count)| phrases(name, count)).collect();
    expected.push(long("time", 0, 120));
    expected.extend(titles);
    for name in ["pattern", "revenue"] {
        expected.extend(figures(name).into_iter().map(|(name, figure)| format!("{name} {figure}")));
    }
    for phrase in expected {
        assert!(prompt.contains(&phrase), "{phrase}");
    }
}

#[test]
fn content_ideas_are_a_tool_too() {
    let (app, token) = app(1);
    app.world.writers.follow("node-1", [Script::says(&ideas_text(0..2))]);
    let path = "/api/ai-assistant/tools/content-ideas";
    let tool = app.post(path).token(&token).json(&order()).send();
    assert_eq!(tool.json(200)["data"]["metadata"]["count"], 2);
    // It is the same service: what one route had written, the other gives again.
    let route = app.post("/api/content-ideas/generate").token(&token).json(&order()).send();
    assert_eq!(route.header("x-chandelle-cache"), Some("hit"));
    assert_eq!(route.json(200)["data"], tool.json(200)["data"]);
}
