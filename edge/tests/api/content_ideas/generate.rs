//! `POST /api/content-ideas/generate`.

use std::ops::Range;

use serde_json::{Value, json};
use shared::node::text::{ChatRequest, ResponseFormat};

use crate::{
    ai_assistant::generate::{app, row},
    support::{answer::Answer, app::TestApp, faults::Part, writers::Script},
};

const PATH: &str = "/api/content-ideas/generate";

/// A valid order for two ideas.
pub fn order() -> Value {
    json!({
        "creatorProfile": {
            "id": "creator-1", "niche": ["pottery"], "contentTypes": ["photo", "video"],
            "audiencePreferences": ["beginners"],
            "performanceHistory": {
                "topPerformingContent": ["The first bowl", {"title": "Glaze test", "views": 3}, 7],
                "engagementPatterns": {"bestDay": "Sunday", "hours": [1, 2]},
                "revenueByCategory": {"photo": 120},
            },
            "currentGoals": ["sell a course"],
            "constraints": {"equipment": ["phone"], "location": ["studio"], "timeAvailability": "1 hour"},
        },
        "options": {"count": 2},
        "language": "en",
    })
}

fn idea(number: u32) -> Value {
    json!({
        "title": format!("Idea {number}"), "description": "A bowl is born.", "contentType": "photo",
        "estimatedEngagement": 60, "estimatedRevenue": 80, "difficulty": "easy",
        "timeRequired": "20 min", "tips": ["Show your hands."],
    })
}

/// What a model writes for these numbers.
pub fn ideas_text(numbers: Range<u32>) -> String {
    json!({"ideas": numbers.map(idea).collect::<Vec<_>>()}).to_string()
}

fn counted(count: u64) -> Value {
    let mut body = order();
    body["options"]["count"] = json!(count);
    body
}

fn ask(app: &TestApp, token: &str, body: &Value) -> Answer {
    app.post(PATH).token(token).json(body).send()
}

fn requests(app: &TestApp) -> Vec<ChatRequest> {
    app.world.writers.requests("node-1")
}

fn schema(request: &ChatRequest) -> &Value {
    match &request.response_format {
        Some(ResponseFormat::JsonSchema { json_schema }) => &json_schema.schema,
        other => panic!("{other:?}"),
    }
}

fn titles(answer: &Value) -> Vec<&str> {
    let ideas = answer["data"]["ideas"].as_array().unwrap();
    ideas.iter().map(|idea| idea["title"].as_str().unwrap()).collect()
}

#[test]
fn answers_in_the_seeds_own_shape() {
    let (app, token) = app(1);
    app.world.writers.follow("node-1", [Script::says(&ideas_text(1..3))]);
    let answer = ask(&app, &token, &order());
    let mut body = answer.json(200);
    let first = &body["data"]["ideas"][0];
    let (id, at) = (first["id"].clone(), first["generatedAt"].clone());
    assert!(uuid::Uuid::parse_str(id.as_str().unwrap()).is_ok());
    assert_ne!(body["data"]["ideas"][1]["id"], id);
    assert_eq!(at.as_str().map(str::len), Some("2026-11-21T12:00:00.000Z".len()));
    let mut expected = idea(1);
    expected["id"] = id;
    expected["generatedAt"] = at.clone();
    assert_eq!(*first, expected);
    body["data"]["ideas"] = json!([]);
    let duration = body["meta"]["duration"].as_u64().unwrap();
    assert!(duration > 0);
    assert_eq!(
        body,
        json!({
            "success": true,
            "data": {
                "ideas": [],
                "metadata": {
                    "generatedAt": at, "count": 2, "profile": "creator-1",
                    "options": {
                        "count": 2, "creativity": "balanced", "includeHashtags": false,
                        "includeCaptions": false, "targetPlatforms": [],
                    },
                },
            },
            "meta": {
                "requestId": answer.header("x-request-id"), "duration": duration,
                "timestamp": body["meta"]["timestamp"],
            },
        })
    );
    assert_eq!(row(&app).kind, "content_ideas");
}

#[test]
fn the_prompt_holds_the_profile_and_the_schema_exactly_what_was_asked() {
    let (app, token) = app(1);
    app.world.writers.follow("node-1", [Script::says(&ideas_text(1..3))]);
    ask(&app, &token, &order());
    let request = &requests(&app)[0];
    let user = request.messages[1].content.as_deref().unwrap();
    assert_eq!(
        user,
        "Give 2 content ideas.\nNiche: pottery\nFormats: photo, video\n\
         Audience: beginners, bestDay Sunday, photo 120\nGoals: sell a course\nEquipment: phone\n\
         Places: studio\nTime: 1 hour\nCreativity: medium\nAlready published: The first bowl, Glaze test"
    );
    let list = &schema(request)["properties"]["ideas"];
    assert_eq!((&list["minItems"], &list["maxItems"]), (&json!(2), &json!(2)));
    let item = &list["items"];
    assert_eq!(item["properties"]["contentType"]["enum"], json!(["photo", "video"]));
    let properties: Vec<&String> = item["properties"].as_object().unwrap().keys().collect();
    let order = [
        "title",
        "description",
        "contentType",
        "estimatedEngagement",
        "estimatedRevenue",
        "difficulty",
        "timeRequired",
        "tips",
    ];
    assert_eq!(properties, order, "in the order the model writes them");
    assert_eq!(item["required"], json!(order));
}

#[test]
fn captions_and_hashtags_come_when_they_are_wanted() {
    let (app, token) = app(1);
    let mut full = idea(1);
    full["caption"] = json!("Clay day");
    full["hashtags"] = json!(["#clay", "#bowl"]);
    app.world.writers.follow("node-1", [Script::says(&json!({"ideas": [full]}).to_string())]);
    let mut body = counted(1);
    body["options"]["includeCaptions"] = json!(true);
    body["options"]["includeHashtags"] = json!(true);
    body["options"]["targetPlatforms"] = json!(["tiktok", "onlyfans"]);
    let found = ask(&app, &token, &body).json(200)["data"]["ideas"][0].clone();
    assert_eq!((&found["caption"], &found["hashtags"][1]), (&json!("Clay day"), &json!("#bowl")));
    let user = requests(&app)[0].messages[1].content.clone().unwrap();
    assert!(user.contains("Platforms: TikTok, OnlyFans\n"), "{user}");
    assert!(user.ends_with(
        "Add a caption to each idea.\nAdd two to five hashtags to each idea, each with #."
    ));
}

#[test]
fn creativity_is_a_temperature() {
    for (word, temperature) in [("conservative", 0.3), ("balanced", 0.7), ("creative", 1.0)] {
        let (app, token) = app(1);
        app.world.writers.follow("node-1", [Script::says(&ideas_text(1..3))]);
        let mut body = order();
        body["options"]["creativity"] = json!(word);
        ask(&app, &token, &body);
        assert_eq!(requests(&app)[0].temperature, Some(temperature));
    }
}

#[test]
fn many_ideas_come_in_several_calls_that_know_of_each_other() {
    let (app, token) = app(1);
    let scripts = [0..4, 4..8, 8..10].map(|numbers| Script::says(&ideas_text(numbers)));
    app.world.writers.follow("node-1", scripts);
    let answer = ask(&app, &token, &counted(10)).json(200);
    let expected: Vec<String> = (0..10).map(|number| format!("Idea {number}")).collect();
    assert_eq!(titles(&answer), expected);
    let requests = requests(&app);
    assert_eq!(requests.len(), 3);
    let last = requests[2].messages[1].content.as_deref().unwrap();
    assert!(last.starts_with("Give 2 content ideas."));
    assert!(last.contains("Already published: Idea 7, Idea 6"), "{last}");
    assert!(last.ends_with("The first bowl, Glaze test"), "{last}");
    assert_eq!(row(&app).bill.unwrap().usage.prompt_tokens, 300);
    assert_eq!(app.world.database.tables().charges.len(), 1, "one request is one charge");
}

#[test]
fn what_is_missing_or_twice_is_asked_for_again_and_else_honestly_missing() {
    let (app, token) = app(1);
    let cut = ideas_text(1..4);
    let scripts = [Script::says(&cut[..cut.len() - 40]), Script::says(&ideas_text(2..4))];
    app.world.writers.follow("node-1", scripts);
    let answer = ask(&app, &token, &counted(4)).json(200);
    assert_eq!(titles(&answer), ["Idea 1", "Idea 2", "Idea 3"]);
    assert_eq!(answer["data"]["metadata"]["count"], 3);
    assert_eq!(answer["data"]["metadata"]["options"]["count"], 4);
    assert!(requests(&app)[1].messages[1].content.as_deref().unwrap().starts_with("Give 2 "));
}

#[test]
fn ideas_that_break_a_rule_are_dropped_and_none_at_all_twice_is_502() {
    let (app, token) = app(1);
    let mut wrong = idea(1);
    wrong["contentType"] = json!("live");
    let wrong = Script::says(&json!({"ideas": [wrong]}).to_string());
    app.world.writers.follow("node-1", [wrong.clone(), Script::says(&ideas_text(5..7))]);
    assert_eq!(titles(&ask(&app, &token, &order()).json(200)), ["Idea 5", "Idea 6"]);

    let (app, token) = self::app(1);
    app.world.writers.follow("node-1", [wrong, Script::says("I would rather not.")]);
    ask(&app, &token, &order()).problem(502);
    assert_eq!(requests(&app).len(), 2);
    assert_eq!(row(&app).credits, 0);
}

#[test]
fn a_kept_answer_has_the_same_ideas_with_the_same_ids() {
    let (app, token) = app(1);
    app.world.writers.follow("node-1", [Script::says(&ideas_text(1..3))]);
    let first = ask(&app, &token, &order());
    app.world.clock.advance_ms(5_000);
    let second = ask(&app, &token, &order());
    assert_eq!(second.header("x-chandelle-cache"), Some("hit"));
    assert_eq!(first.json(200)["data"], second.json(200)["data"]);
    assert_ne!(first.json(200)["meta"], second.json(200)["meta"]);
    assert_eq!(requests(&app).len(), 1);
}

#[test]
fn no_node_is_503_and_a_part_that_is_away_too() {
    let (app, token) = app(0);
    let answer = ask(&app, &token, &order());
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), Some("15"));
    let (app, token) = self::app(1);
    for part in [Part::Gate, Part::Database, Part::Node] {
        app.world.faults.away(part, 1_000);
        ask(&app, &token, &order()).problem(503);
        app.world.faults.heal();
    }
}

#[test]
fn the_alias_and_the_key_work_here_too() {
    let (app, token) = app(1);
    app.world.writers.follow("node-1", [Script::says(&ideas_text(1..3))]);
    let keyed = || {
        let call = app.post("/s2s_api_v1/content-ideas/generate").token(&token);
        call.header("idempotency-key", "k").json(&order()).send()
    };
    assert_eq!(keyed().json(200), keyed().json(200));
    assert_eq!(requests(&app).len(), 1);
    let audit = app.world.queues.audit();
    assert_eq!(audit[0].action, format!("POST {PATH}"));
}
