//! What `POST /api/content-ideas/generate` refuses, field by field.

use serde_json::{Value, json};

use super::generate::order;
use crate::ai_assistant::generate::app;

/// The order with the value at a pointer replaced, or removed by `null`.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = order();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.insert(name.to_owned(), value);
    body
}

#[test]
fn every_limit_of_the_seed_holds() {
    let (app, token) = app(1);
    let long = |chars: usize| json!("x".repeat(chars));
    let profile = |name: &str| format!("/creatorProfile/{name}");
    let cases: Vec<(String, Value, &str)> = vec![
        ("/options/count".to_owned(), json!(0), "range"),
        ("/options/count".to_owned(), json!(21), "range"),
        ("/options/count".to_owned(), json!(2.5), "type"),
        ("/options/count".to_owned(), json!("5"), "type"),
        ("/options/creativity".to_owned(), json!("wild"), "format"),
        ("/options/includeHashtags".to_owned(), json!("yes"), "type"),
        ("/options/includeCaptions".to_owned(), json!(1), "type"),
        ("/options/targetPlatforms".to_owned(), json!("tiktok"), "type"),
        ("/options".to_owned(), Value::Null, "missing"),
        ("/options".to_owned(), json!([]), "type"),
        ("/creatorProfile".to_owned(), Value::Null, "missing"),
        (profile("id"), json!(""), "empty"),
        (profile("id"), long(101), "too_long"),
        (profile("niche"), json!([]), "range"),
        (profile("niche"), json!(vec!["x"; 11]), "range"),
        (profile("niche"), json!("pottery"), "type"),
        (profile("contentTypes"), Value::Null, "missing"),
        (profile("audiencePreferences"), json!(vec!["x"; 21]), "range"),
        (profile("currentGoals"), Value::Null, "missing"),
        (profile("constraints"), json!("none"), "type"),
        (profile("constraints/timeAvailability"), long(121), "too_long"),
        (profile("constraints/equipment"), json!({}), "type"),
        (profile("performanceHistory"), Value::Null, "missing"),
        (profile("performanceHistory/topPerformingContent"), json!({}), "type"),
        (profile("performanceHistory/engagementPatterns"), json!([]), "type"),
        (profile("performanceHistory/revenueByCategory"), json!({"photo": "12"}), "type"),
    ];
    for (pointer, value, code) in cases {
        let body = with(&pointer, value.clone());
        let answer = app.post("/api/content-ideas/generate").token(&token).json(&body).send();
        let expected = [(pointer.clone(), code.to_owned())];
        assert_eq!(answer.field_errors(), expected, "{pointer} = {value}");
    }
    assert!(app.world.writers.requests("node-1").is_empty());
}

#[test]
fn what_the_seed_lets_out_may_be_left_out() {
    let (app, token) = app(1);
    let text = super::generate::ideas_text(0..4);
    let more = super::generate::ideas_text(4..5);
    let scripts = [text, more].map(|text| crate::support::writers::Script::says(&text));
    app.world.writers.follow("node-1", scripts);
    let body = with("/options", json!({}));
    let answer = app.post("/api/content-ideas/generate").token(&token).json(&body).send().json(200);
    assert_eq!(answer["data"]["metadata"]["options"]["count"], 5);
    assert_eq!(answer["data"]["metadata"]["count"], 5);
}
