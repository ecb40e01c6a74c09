//! What Discord can't take now, it gets later, once.

use std::time::Duration;

use anyhow::Result;
use e2e::{
    assertions::{completed_once, ended},
    client::{Browser, scene},
    stack::{Stack, eventually},
    supabase::{rows, sign_up},
};
use reqwest::Client;
use serde_json::json;

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
