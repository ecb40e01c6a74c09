//! A cancelled job stops, costs nothing and leaves nothing.

use std::time::Duration;

use anyhow::Result;
use e2e::{
    assertions::{ended, left_no_effects},
    client::{Browser, scene},
    stack::Stack,
    supabase::sign_up,
};
use reqwest::StatusCode;
use serde_json::Value;
use shared::api::jobs::JobStatus;

#[tokio::test]
async fn a_cancelled_job_has_no_effect() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let job = browser.order_scene(&scene()).await?;

    let answer = browser.cancel(job.id).await?;
    assert_eq!(answer.status(), StatusCode::OK);
    let job = ended(&browser, job.id, Duration::from_secs(30)).await?;
    assert_eq!(job.status, JobStatus::Cancelled);
    let events = browser.events(job.id, None).await?.to_end().await?;
    assert_eq!(events.last().map(|e| e.event.status), Some(JobStatus::Cancelled));

    left_no_effects(&stack, job.id).await?;
    let credits: Value = browser.get("/api/credits").await?.json().await?;
    assert_eq!((credits["balance"].as_i64(), credits["reserved"].as_i64()), (Some(100), Some(0)));

    let again = browser.cancel(job.id).await?;
    assert_eq!(again.status(), StatusCode::OK, "cancelling twice is the same as once");
    Ok(())
}
