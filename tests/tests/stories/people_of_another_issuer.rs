//! People whom Supabase doesn't know: their own issuer's token opens the edge, the edge's token for them opens the database,
//! and row-level security holds for them as for anybody.

use anyhow::{Context, Result};
use e2e::{
    client::Browser,
    issuer::{Order, now_s},
    receiver::{statuses, told_to_the_end},
    stack::Stack,
    supabase::{insert, rows, sign_up},
};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// A person as their issuer calls them, with a session's token that `alg` signed.
struct Stranger {
    name: String,
    browser: Browser,
}

impl Stranger {
    async fn arrive(stack: &Stack, alg: &'static str) -> Result<Self> {
        let name = format!("user_{}", uuid::Uuid::new_v4().simple());
        let order = Order::by_clerk(stack, alg)?.claim("sub", name.as_str());
        let browser = Browser::with_token(stack, Some(order.sign(stack).await?));
        Ok(Self { name, browser })
    }

    /// Orders images under this id, in her own name.
    async fn order(&self, id: &str) -> Result<Response> {
        post(&self.browser, &order(id, &self.name)).await
    }

    async fn credits(&self) -> Result<(i64, i64)> {
        let credits: Value =
            self.browser.get("/api/credits").await?.error_for_status()?.json().await?;
        let number = |name: &str| credits[name].as_i64().context("a number");
        Ok((number("balance")?, number("reserved")?))
    }
}

fn order(id: &str, user_id: &str) -> Value {
    json!({
        "prompt": "a red star, mountains", "job_id": id, "user_id": user_id, "num_images": 2, "size": "256x256",
        "quality": "low",
    })
}

async fn post(browser: &Browser, body: &Value) -> Result<Response> {
    Ok(browser.request(Method::POST, "/api/images/generate").json(body).send().await?)
}

fn fresh_id() -> String {
    format!("clerk-job-{}", uuid::Uuid::new_v4())
}

async fn order_is_told_and_charged(alg: &'static str) -> Result<()> {
    let stack = Stack::running()?;
    let (ada, eve) = (Stranger::arrive(&stack, alg).await?, Stranger::arrive(&stack, alg).await?);
    let member = sign_up(&stack).await?;
    let member = Browser::of(&stack, &member);
    let id = fresh_id();

    let answer = ada.order(&id).await?;
    let status = answer.status();
    let accepted: Value = answer.json().await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    assert_eq!(accepted, json!({ "job_id": id, "status": "queued" }));
    let (balance, reserved) = ada.credits().await?;
    assert_eq!(balance - reserved, 98, "held while it runs, charged when it has ended");
    let in_her_name = post(&eve.browser, &order(&fresh_id(), &ada.name)).await?;
    assert_eq!(in_her_name.status(), StatusCode::FORBIDDEN);
    assert_eq!(eve.order(&id).await?.status(), StatusCode::CONFLICT);

    let messages = told_to_the_end(&stack, &id).await?;
    assert_eq!(statuses(&messages), ["initializing", "generating", "saving", "completed"]);
    assert!(messages.iter().all(|message| message.is_proved), "{messages:?}");
    let last = &messages.last().context("a last one")?.body;
    let path = format!("/api/images/{id}");
    assert_eq!(ada.browser.get(&path).await?.json::<Value>().await?, *last);
    let url = last["data"]["images"][1]["url"].as_str().context("an address")?;
    image::load_from_memory(&reqwest::get(url).await?.error_for_status()?.bytes().await?)?;
    assert_eq!(ada.credits().await?, (98, 0));
    assert_eq!(eve.credits().await?, (100, 0));

    let jobs = |browser: Browser| async move {
        let listed: Value = browser.get("/api/jobs").await?.error_for_status()?.json().await?;
        anyhow::Ok(listed["items"].as_array().context("items")?.len())
    };
    assert_eq!(jobs(ada.browser.clone()).await?, 1, "her own rows");
    for other in [&eve.browser, &member] {
        assert_eq!(other.get(&path).await?.status(), StatusCode::NOT_FOUND);
        assert_eq!(jobs(other.clone()).await?, 0, "and nobody else's");
    }
    let files = rows(&stack, "image_files", &format!("generationId=eq.{id}")).await?;
    assert_eq!(files.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_clerk_users_images_are_made_told_of_and_charged_and_hers_alone() -> Result<()> {
    order_is_told_and_charged("RS256").await
}

#[tokio::test]
async fn so_are_those_of_somebody_whose_issuer_signs_with_ed25519() -> Result<()> {
    order_is_told_and_charged("EdDSA").await
}

#[tokio::test]
async fn somebody_without_credits_left_is_refused_by_the_database_too() -> Result<()> {
    let stack = Stack::running()?;
    let ada = Stranger::arrive(&stack, "RS256").await?;
    let first = fresh_id();
    assert_eq!(ada.order(&first).await?.status(), StatusCode::ACCEPTED);
    told_to_the_end(&stack, &first).await?;
    let generation = rows(&stack, "image_generations", &format!("id=eq.{first}")).await?;
    let owner = generation[0]["user_id"].as_str().context("an owner")?;
    let charge = json!({
        "user_id": owner, "kind": "charge", "amount": -97, "reason": "test", "job_id": uuid::Uuid::new_v4(),
    });
    insert(&stack, "credit_ledger", &charge).await?;
    let answer = ada.order(&fresh_id()).await?;
    assert_eq!(answer.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(rows(&stack, "jobs", &format!("user_id=eq.{owner}")).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_token_for_another_party_expired_or_of_another_issuer_orders_nothing() -> Result<()> {
    let stack = Stack::running()?;
    let clerk = || Order::by_clerk(&stack, "RS256");
    let elsewhere = format!("{}/clerk.example", stack.issuer_url);
    for (name, broken) in [
        ("another party", clerk()?.claim("azp", "https://evil.example")),
        ("no party", clerk()?.claim("azp", Value::Null)),
        ("expired", clerk()?.claim("exp", now_s()? - 60)),
        ("another issuer", clerk()?.claim("iss", elsewhere)),
        ("another key", clerk()?.signed_with("EdDSA")),
        ("nobody", clerk()?.claim("sub", "")),
    ] {
        let id = fresh_id();
        let browser = Browser::with_token(&stack, Some(broken.sign(&stack).await?));
        let answer = post(&browser, &order(&id, "user_2abc123")).await?;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{name}");
        assert!(rows(&stack, "image_generations", &format!("id=eq.{id}")).await?.is_empty());
    }
    Ok(())
}
