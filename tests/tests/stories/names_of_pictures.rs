//! What a picture's name resolves to is asked before the picture is: names that lead inside, wholly or in part, are refused,
//! and without an answer nothing is fetched.

use anyhow::Result;
use e2e::{
    client::Browser,
    receiver::asked,
    stack::{Part, Stack},
    supabase::{rows, sign_up},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// What becomes of an order for a picture that starts from one there.
async fn order_from(browser: &Browser, url: &str) -> Result<(StatusCode, Value)> {
    let body = json!({ "prompt": "a red star", "size": "256x256", "input_image_url": url });
    let answer = browser.request(Method::POST, "/api/images/generate").json(&body).send().await?;
    Ok((answer.status(), answer.json().await?))
}

/// The names that were looked up, each with the kind of address that was asked for.
async fn looked_up(stack: &Stack) -> Result<Vec<String>> {
    let url = format!("{}/asked", stack.resolver_url);
    Ok(reqwest::get(url).await?.error_for_status()?.json().await?)
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_and_a_public_one_is_asked() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let by_redirect = format!("{}/away?to=https://inside.example/x.png", stack.receiver_url);
    for (url, code) in [
        ("https://inside.example/x.png", "address"),
        ("https://half.example/x.png", "address"),
        ("https://alias.example/x.png", "address"),
        (&by_redirect, "address"),
        ("https://nobody.example/x.png", "unreachable"),
        // Nobody answers at this name, so that it was asked shows in the reason alone.
        ("https://outside.example/x.png", "unreachable"),
    ] {
        let (status, problem) = order_from(&browser, url).await?;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], "/input_image_url", "{url}: {problem}");
        assert_eq!(problem["errors"][0]["code"], code, "{url}: {problem}");
    }
    let looked_up = looked_up(&stack).await?;
    for name in ["inside", "half", "alias", "nobody", "outside"] {
        for kind in ["A", "AAAA"] {
            assert!(looked_up.contains(&format!("{name}.example {kind}")), "{name} {kind}");
        }
    }
    assert!(rows(&stack, "jobs", &format!("user_id=eq.{}", person.id)).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn without_an_answer_about_a_name_its_picture_is_not_asked_and_the_order_may_come_again()
-> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    for url in ["https://broken.example/x.png", "https://silent.example/x.png"] {
        let (status, problem) = order_from(&browser, url).await?;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{url}: {problem}");
    }

    stack.kill(Part::Resolver).await?;
    let away = order_from(&browser, "https://outside.example/x.png").await;
    // A developer's own origin, and an address without a name, need no resolver.
    let own = order_from(&browser, &format!("{}/named.png", stack.receiver_url)).await;
    stack.start(Part::Resolver).await?;
    let (status, problem) = away?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    let (status, problem) = own?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert!(asked(&stack).await?.contains(&"/named.png".to_owned()));

    let (status, problem) = order_from(&browser, "https://inside.example/x.png").await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert!(rows(&stack, "jobs", &format!("user_id=eq.{}", person.id)).await?.is_empty());
    Ok(())
}
