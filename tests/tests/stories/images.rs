//! Sorami's images through the whole system: every step told in order and proved, a receiver that is down for a while, and
//! pictures to start from that lead where they must not.

use anyhow::{Context, Result};
use e2e::{
    client::Browser,
    receiver::{asked, fail_next, statuses, told_to_the_end},
    stack::Stack,
    supabase::{Person, rows, rows_seen_by, sign_up},
};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

const WHOLE: [&str; 4] = ["initializing", "generating", "saving", "completed"];

fn fresh_id() -> String {
    format!("test-job-{}", uuid::Uuid::new_v4())
}

fn order(id: &str, person: &Person) -> Value {
    json!({
        "prompt": "a red star, mountains", "job_id": id, "user_id": person.id, "num_images": 2, "size": "256x256",
        "format": "PNG", "style": "illustration", "quality": "low",
    })
}

async fn post(browser: &Browser, body: &Value) -> Result<Response> {
    Ok(browser.request(Method::POST, "/api/images/generate").json(body).send().await?)
}

#[tokio::test]
async fn every_step_is_told_in_order_and_the_pictures_are_at_their_addresses() -> Result<()> {
    let stack = Stack::running()?;
    let (person, stranger) = (sign_up(&stack).await?, sign_up(&stack).await?);
    let (browser, other) = (Browser::of(&stack, &person), Browser::of(&stack, &stranger));
    let id = fresh_id();

    let answer = post(&browser, &order(&id, &person)).await?;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let accepted: Value = answer.json().await?;
    assert_eq!(accepted, json!({ "job_id": id, "status": "queued" }));
    let again = post(&browser, &order(&id, &person)).await?;
    assert_eq!(again.status(), StatusCode::ACCEPTED, "the same job");
    assert_eq!(post(&other, &order(&id, &person)).await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(post(&other, &order(&id, &stranger)).await?.status(), StatusCode::CONFLICT);

    let messages = told_to_the_end(&stack, &id).await?;
    assert_eq!(statuses(&messages), WHOLE);
    assert!(messages.iter().all(|message| message.is_proved), "{messages:?}");
    let last = &messages.last().context("a last one")?.body;
    let path = format!("/api/images/{id}");
    assert_eq!(browser.get(&path).await?.json::<Value>().await?, *last);
    assert_eq!(other.get(&path).await?.status(), StatusCode::NOT_FOUND);

    let images = last["data"]["images"].as_array().context("images")?;
    assert_eq!(images.len(), 2);
    for (index, image) in images.iter().enumerate() {
        assert_eq!(image["file_path"], format!("images/{id}/image_{}.png", index + 1));
        let url = image["url"].as_str().context("an address")?;
        let bytes = reqwest::get(url).await?.error_for_status()?.bytes().await?;
        assert_eq!(image["size_bytes"], bytes.len());
        let picture = image::load_from_memory(&bytes)?;
        assert_eq!(image["dimensions"], format!("{}x{}", picture.width(), picture.height()));
    }
    let query = format!("generationId=eq.{id}");
    assert_eq!(rows_seen_by(&stack, &person, "image_files", &query).await?.len(), 2);
    assert!(rows_seen_by(&stack, &stranger, "image_files", &query).await?.is_empty());
    let credits: Value = browser.get("/api/credits").await?.json().await?;
    assert_eq!((&credits["balance"], &credits["reserved"]), (&json!(98), &json!(0)));
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_is_down_for_a_while_gets_everything_in_order() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let id = fresh_id();
    fail_next(&stack, 2, 500).await?;
    let answer = post(&browser, &order(&id, &person)).await?;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let messages = told_to_the_end(&stack, &id).await?;
    assert_eq!(statuses(&messages), WHOLE);
    assert_eq!(messages.len(), 6, "two were refused");
    assert_eq!(messages[0].id, messages[2].id, "sent again under its id");
    assert_eq!(messages[0].body, messages[2].body);
    assert!(messages.iter().all(|message| message.is_proved));
    Ok(())
}

#[tokio::test]
async fn a_picture_to_start_from_is_fetched_and_what_leads_inside_is_not() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let from = |url: String| {
        let mut body = order(&fresh_id(), &person);
        body["input_image_url"] = json!(url);
        body
    };
    let inside = &stack.supabase_url;
    let outside = &stack.receiver_url;
    let refused = [
        (inside.replace("http://", "https://"), "address"),
        (inside.clone(), "address"),
        ("https://2130706433/x.png".to_owned(), "address"),
        ("https://[::ffff:127.0.0.1]/x.png".to_owned(), "address"),
        ("https://localhost/x.png".to_owned(), "address"),
        ("https://u:p@files.example/x.png".to_owned(), "address"),
        (format!("{outside}/away?to={inside}"), "address"),
        (format!("{outside}/away?to=//localhost/"), "address"),
        (format!("{outside}/page.png"), "content"),
        (format!("{outside}/nothing.png"), "unreachable"),
        (format!("{outside}/endless.png"), "too_large"),
    ];
    for (url, code) in refused {
        let answer = post(&browser, &from(url.clone())).await?;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{url}");
        let problem: Value = answer.json().await?;
        assert_eq!(problem["errors"][0]["pointer"], "/input_image_url", "{url}: {problem}");
        assert_eq!(problem["errors"][0]["code"], code, "{url}: {problem}");
    }
    assert!(rows(&stack, "jobs", &format!("user_id=eq.{}", person.id)).await?.is_empty());

    let body = from(format!("{outside}/away?to=/cat.png"));
    assert_eq!(post(&browser, &body).await?.status(), StatusCode::ACCEPTED);
    assert!(asked(&stack).await?.contains(&"/cat.png".to_owned()));
    let id = body["job_id"].as_str().context("an id")?;
    let messages = told_to_the_end(&stack, id).await?;
    assert_eq!(statuses(&messages).last(), Some(&"failed"), "the embedded model takes none");
    let last = &messages.last().context("a last one")?.body;
    let message = last["error_message"].as_str().context("an error message")?;
    assert!(message.contains("images"), "it says which field: {message}");
    Ok(())
}
