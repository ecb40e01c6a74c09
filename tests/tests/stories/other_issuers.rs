//! Tokens of other issuers, whose signatures WebCrypto verifies in the Worker: the good ones open, the others don't.

use anyhow::Result;
use e2e::{
    client::{Browser, scene},
    issuer::{Order, key_fetches, now_s},
    stack::Stack,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// What the edge says of the token. An order with an empty field ends after the token was believed, before anything
/// else is asked: 422 means accepted.
async fn verdict(stack: &Stack, order: &Order) -> Result<(StatusCode, Value)> {
    let mut body = scene();
    body["decor"] = json!("");
    let browser = Browser::with_token(stack, Some(order.sign(stack).await?));
    let answer = browser.create_scene(&body, &[]).await?;
    Ok((answer.status(), answer.json().await?))
}

#[tokio::test]
async fn every_algorithm_that_is_configured_is_accepted() -> Result<()> {
    let stack = Stack::running()?;
    let orders = [
        Order::new(&stack, "ES256")?,
        Order::new(&stack, "RS256")?,
        Order::new(&stack, "EdDSA")?,
        Order::by_secret(&stack)?,
        Order::by_clerk(&stack, "RS256")?,
    ];
    for order in orders {
        let (status, problem) = verdict(&stack, &order).await?;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{order:?}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], "/decor", "{problem}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_with_one_wrong_claim_or_signature_is_refused() -> Result<()> {
    let stack = Stack::running()?;
    let now_s = now_s()?;
    let es256 = || Order::new(&stack, "ES256");
    let cases = [
        ("expired", es256()?.claim("exp", now_s - 60)),
        ("without an end", es256()?.claim("exp", Value::Null)),
        ("not valid yet", es256()?.claim("nbf", now_s + 120)),
        ("for another audience", es256()?.claim("aud", "authenticated")),
        ("of an issuer nobody configured", es256()?.claim("iss", "https://issuer.example")),
        ("of the other issuer", es256()?.claim("iss", format!("{}/secret", stack.issuer_url))),
        ("not a person's", es256()?.claim("role", "service_role")),
        ("signed by a stranger", es256()?.signed_with("stranger")),
        ("the public key as HMAC secret", es256()?.header("alg", "HS256").signed_with("public")),
        ("the secret of the other issuer", es256()?.header("alg", "HS256").signed_with("secret")),
        ("said to be RS256", es256()?.header("alg", "RS256")),
        ("said to be EdDSA", es256()?.header("alg", "EdDSA")),
        ("an RSA key under an EC key's name", Order::new(&stack, "RS256")?.header("kid", "ES256")),
        ("another key's signature as RS256", Order::new(&stack, "RS256")?.signed_with("EdDSA")),
        ("another key's signature as EdDSA", Order::new(&stack, "EdDSA")?.signed_with("RS256")),
        ("an algorithm nobody configured", es256()?.header("alg", "ES384")),
        ("no algorithm", es256()?.header("alg", "none")),
        ("a critical header", es256()?.header("crit", json!(["b64"]))),
        ("keys, where a secret was agreed", Order::by_secret(&stack)?.header("alg", "ES256")),
        (
            "for another party",
            Order::by_clerk(&stack, "RS256")?.claim("azp", "https://evil.example"),
        ),
        ("for no party", Order::by_clerk(&stack, "RS256")?.claim("azp", Value::Null)),
        ("another secret", Order::by_secret(&stack)?.signed_with("public")),
    ];
    for (name, order) in cases {
        let (status, problem) = verdict(&stack, &order).await?;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}: {problem}");
        assert_eq!(problem["code"], "unauthenticated", "{name}: {problem}");
    }
    Ok(())
}

#[tokio::test]
async fn made_up_key_names_do_not_make_the_edge_hammer_the_issuer() -> Result<()> {
    let stack = Stack::running()?;
    let (status, problem) = verdict(&stack, &Order::new(&stack, "ES256")?).await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let before = key_fetches(&stack).await?;
    for number in 0..20 {
        let made_up = Order::new(&stack, "ES256")?.header("kid", format!("made-up-{number}"));
        let (status, problem) = verdict(&stack, &made_up).await?;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{problem}");
    }
    // Far fewer than 30 s have passed, the floor between two fetches.
    let fetches = key_fetches(&stack).await? - before;
    assert!(fetches <= 1, "{fetches} fetches for 20 tokens");
    let (status, problem) = verdict(&stack, &Order::new(&stack, "ES256")?).await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "the others still come in: {problem}");
    Ok(())
}
