//! What Discord can't take now, it gets later, once.

use std::time::Duration;

use anyhow::Result;
use e2e::{
    assertions::{completed_once, ended},
    client::{Browser, scene},
    stack::{Stack, eventually},
    supabase::{rows, sign_in, sign_up},
};
use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use shared::api::{Page, outbox::OutboxEntry};

#[tokio::test]
async fn a_message_refused_for_now_is_sent_again() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    Client::new()
        .post(format!("{}/fail", stack.discord_url))
        .json(&json!({ "times": 1, "status": 429 }))
        .send()
        .await?
        .error_for_status()?;

    let job = browser.order_scene(&scene()).await?;
    ended(&browser, job.id, Duration::from_secs(60)).await?;
    completed_once(&stack, &person, job.id).await?;
    let query = format!("job_id=eq.{}", job.id);
    let attempts = eventually("the delivery is recorded", Duration::from_secs(30), async || {
        let row = rows(&stack, "outbox", &query).await?.into_iter().next();
        Ok(row.filter(|row| row["status"] == "delivered").map(|row| row["attempts"].clone()))
    })
    .await?;
    assert_eq!(attempts, 2);
    Ok(())
}

#[tokio::test]
async fn a_message_given_up_is_seen_and_replayed_by_an_admin() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    Client::new()
        .post(format!("{}/fail", stack.discord_url))
        .json(&json!({ "times": 1, "status": 404 }))
        .send()
        .await?
        .error_for_status()?;
    let job = browser.order_scene(&scene()).await?;
    ended(&browser, job.id, Duration::from_secs(60)).await?;

    let admin = Browser::of(&stack, &sign_in(&stack, &stack.admin_user).await?);
    let dead = eventually("the admin sees it", Duration::from_secs(30), async || {
        let answer = admin.get("/api/admin/outbox?status=dead").await?.error_for_status()?;
        let page: Page<OutboxEntry> = answer.json().await?;
        Ok(page.items.into_iter().find(|entry| entry.job_id == Some(job.id)))
    })
    .await?;
    assert!(dead.last_error.as_deref().is_some_and(|error| error.contains("404")), "{dead:?}");
    let replay = format!("/api/admin/outbox/{}/replay", dead.id);
    let answer = browser.request(Method::POST, &replay).send().await?;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN, "others may not");
    let answer = admin.request(Method::POST, &replay).send().await?;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    completed_once(&stack, &person, job.id).await
}
