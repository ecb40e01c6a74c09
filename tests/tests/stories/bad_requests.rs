//! Bad input gets a clear error in one shape, from the real runtime.

use anyhow::Result;
use e2e::{
    client::{Browser, scene},
    stack::Stack,
    supabase::{rows, sign_up},
};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

#[tokio::test]
async fn every_wrong_field_is_reported_in_one_answer() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let body = json!({
        "world": "", "era": "x".repeat(121), "class": 7, "pose": "a\u{0}b", "colour": "red"
    });
    let answer = browser.create_scene(&body, &[]).await?;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let request_id = answer.headers()["x-request-id"].to_str()?.to_owned();
    let problem: Value = answer.json().await?;
    let pointers: Vec<&str> = problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|error| error["pointer"].as_str())
        .collect();
    assert_eq!(pointers, ["/world", "/era", "/class", "/pose", "/decor", "/colour"]);
    assert_eq!(problem["request_id"], request_id.as_str());
    assert_eq!(problem["instance"], "/api/generate/scene");
    let jobs = rows(&stack, "jobs", &format!("user_id=eq.{}", person.id)).await?;
    assert!(jobs.is_empty(), "nothing was made");
    Ok(())
}

#[tokio::test]
async fn wrong_bodies_methods_and_paths_have_their_status() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let post = |path: &str| browser.request(Method::POST, path);

    let path = "/api/generate/scene";
    let too_large = json!({ "world": "x".repeat(1024 * 1024) }).to_string();
    let json = (header::CONTENT_TYPE, "application/json");
    let cases = [
        ("not JSON", post(path).header(json.0.clone(), json.1).body("{"), StatusCode::BAD_REQUEST),
        (
            "another type",
            post(path).header(json.0.clone(), "text/plain").body("{}"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            "too large",
            post(path).header(json.0.clone(), json.1).body(too_large),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        ("another method", browser.request(Method::PUT, path), StatusCode::METHOD_NOT_ALLOWED),
        ("an unknown path", post("/api/nowhere"), StatusCode::NOT_FOUND),
        ("an id that is none", browser.request(Method::GET, "/api/jobs/7"), StatusCode::NOT_FOUND),
    ];
    for (name, request, expected) in cases {
        let answer = request.send().await?;
        assert_eq!(answer.status(), expected, "{name}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{name}");
        if expected == StatusCode::METHOD_NOT_ALLOWED {
            assert_eq!(answer.headers()["allow"], "POST", "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_versioned_path_is_the_same_route() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    assert_eq!(browser.get("/s2s_api_v1/scenes").await?.status(), StatusCode::OK);
    let mut wrong = scene();
    wrong["world"] = json!(null);
    let answer =
        browser.request(Method::POST, "/s2s_api_v1/generate/scene").json(&wrong).send().await?;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    Ok(())
}
