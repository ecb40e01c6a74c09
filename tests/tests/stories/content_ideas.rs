//! Content ideas: the product's own shape, from a stand-in and from the model that ships with the source.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{
    answers::{TextNode, writes},
    client::Browser,
    stack::{Stack, eventually},
    supabase::{rows, sign_up},
};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use shared::api::{creator_tools::ContentIdeas, envelope::Envelope};

const PATH: &str = "/api/content-ideas/generate";

fn order(count: u64) -> Value {
    json!({
        "creatorProfile": {
            "id": "creator-1", "niche": ["pottery"], "contentTypes": ["photo", "video"],
            "audiencePreferences": ["beginners"],
            "performanceHistory": {
                "topPerformingContent": [], "engagementPatterns": {}, "revenueByCategory": {},
            },
            "currentGoals": ["sell a course"],
            "constraints": { "equipment": ["phone"], "location": ["studio"], "timeAvailability": "1 hour" },
        },
        "options": { "count": count, "includeHashtags": true },
        "language": "en",
    })
}

fn written(titles: &[&str]) -> String {
    let idea = |title: &&str| {
        json!({
            "title": title, "description": "A bowl is born.", "contentType": "photo",
            "estimatedEngagement": 60, "estimatedRevenue": 80, "difficulty": "easy",
            "timeRequired": "20 min", "hashtags": ["#clay", "#bowl"], "tips": ["Show your hands."],
        })
    };
    json!({ "ideas": titles.iter().map(idea).collect::<Vec<_>>() }).to_string()
}

#[tokio::test]
async fn ideas_are_written_checked_and_kept() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let behaviours = json!([
        { "text": "I had rather not.", "every_ms": 5 },
        { "text": written(&["First", "Second"]), "every_ms": 5 },
    ]);
    let node = TextNode::join(&stack, "a-text-1", &behaviours).await?;

    let post = async || browser.request(Method::POST, PATH).json(&order(2)).send().await;
    let answer = post().await?;
    assert_eq!(answer.headers()["x-chandelle-cache"], "miss");
    let first: Envelope<ContentIdeas> = answer.error_for_status()?.json().await?;
    assert_eq!(first.data.ideas.len(), 2);
    assert_eq!(node.seen().await?.0, 2, "what could not be used was asked for once more");
    let answer = post().await?;
    assert_eq!(answer.headers()["x-chandelle-cache"], "hit");
    let again: Envelope<ContentIdeas> = answer.json().await?;
    assert_eq!(again.data, first.data);

    eventually("both are in the books", Duration::from_secs(10), async || {
        let query = format!("user_id=eq.{}&select=cached,credits&order=credits", person.id);
        let books = rows(&stack, "text_runs", &query).await?;
        let expected =
            [json!({ "cached": "hit", "credits": 0 }), json!({ "cached": "miss", "credits": 1 })];
        Ok((books == expected).then_some(()))
    })
    .await?;
    node.leave().await
}

#[tokio::test]
async fn twice_unusable_is_an_honest_failure_that_costs_nothing() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let node = TextNode::join(&stack, "a-text-1", &writes("I had rather not.", 5, "stop")).await?;
    let answer = browser.request(Method::POST, PATH).json(&order(2)).send().await?;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let credits: Value = browser.get("/api/credits").await?.json().await?;
    assert_eq!(credits, json!({ "balance": 100, "reserved": 0 }));
    node.leave().await
}

#[tokio::test]
async fn the_model_that_ships_has_ideas_of_its_own() -> Result<()> {
    let stack = Stack::running()?;
    let models = Client::new().get(format!("{}/v1/models", stack.node_url));
    let models: Value =
        models.bearer_auth(&stack.node_token).send().await?.error_for_status()?.json().await?;
    let has_model = |list: &Value| {
        list["data"].as_array().is_some_and(|all| all.iter().any(|m| m["id"] == "embedded-text"))
    };
    ensure!(has_model(&models), "the node serves no embedded-text: {models}");

    let browser = Browser::of(&stack, &sign_up(&stack).await?);
    let answer = browser.request(Method::POST, PATH).json(&order(3)).send().await?;
    let ideas: Envelope<ContentIdeas> = answer.error_for_status()?.json().await?;
    assert!((1..=3).contains(&ideas.data.ideas.len()), "{ideas:?}");
    assert!(ideas.data.ideas.iter().all(|idea| idea.hashtags.is_some()), "{ideas:?}");
    Ok(())
}
