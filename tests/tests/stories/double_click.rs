//! The same order sent twice is one order.

use std::time::Duration;

use anyhow::Result;
use e2e::{
    assertions::{completed_once, ended},
    client::{Browser, scene},
    stack::{Stack, eventually},
    supabase::{self, sign_up},
};
use reqwest::StatusCode;
use serde_json::json;
use shared::api::jobs::{Job, JobStatus};

#[tokio::test]
async fn a_double_click_makes_one_scene() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let key = uuid::Uuid::new_v4().to_string();
    let headers = [("idempotency-key", key.as_str())];

    let scene = scene();
    let (first, second) = tokio::join!(
        browser.create_scene(&scene, &headers),
        browser.create_scene(&scene, &headers)
    );
    let first: Job = first?.error_for_status()?.json().await?;
    let second: Job = second?.error_for_status()?.json().await?;
    assert_eq!(first.id, second.id);

    let mut other = scene.clone();
    other["class"] = json!("a blue boat");
    let answer = browser.create_scene(&other, &headers).await?;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);

    ended(&browser, first.id, Duration::from_secs(60)).await?;
    completed_once(&stack, &person, first.id).await?;
    let jobs = supabase::rows(&stack, "jobs", &format!("user_id=eq.{}", person.id)).await?;
    assert_eq!(jobs.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_message_delivered_twice_has_one_effect() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let job = browser.order_scene(&scene()).await?;

    eventually("the job runs", Duration::from_secs(30), async || {
        Ok((browser.job(job.id).await?.status != JobStatus::Queued).then_some(()))
    })
    .await?;
    // A lease in the past makes the reaper send the same message again while the first is at work.
    let past = json!({ "lease_until": "2020-01-01T00:00:00Z" });
    supabase::update(&stack, "jobs", &format!("id=eq.{}", job.id), &past).await?;
    stack.run_cron().await?;

    ended(&browser, job.id, Duration::from_secs(60)).await?;
    completed_once(&stack, &person, job.id).await
}
