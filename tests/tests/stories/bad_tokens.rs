//! Tokens that prove nothing open nothing, through the real issuer's key set.

use anyhow::Result;
use e2e::{
    client::{Browser, scene},
    stack::Stack,
    supabase::sign_up,
    tokens,
};
use reqwest::StatusCode;
use serde_json::Value;

#[tokio::test]
async fn forged_tokens_are_refused() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let victim = sign_up(&stack).await?;
    let jwks_url = format!("{}/auth/v1/.well-known/jwks.json", stack.supabase_url);
    let jwks: Value = reqwest::get(jwks_url).await?.json().await?;

    let cases = [
        ("no token", None),
        ("garbage", Some("not-a-token".to_owned())),
        ("alg none", Some(tokens::unsigned(&person.token)?)),
        (
            "the public key as HMAC secret",
            Some(tokens::signed_with_public_key(&person.token, &jwks)?),
        ),
        ("another's id", Some(tokens::with_other_subject(&person.token, &victim.id)?)),
        ("the publishable key", Some(stack.publishable_key.clone())),
    ];
    for (name, token) in cases {
        let browser = Browser::with_token(&stack, token);
        let answer = browser.create_scene(&scene(), &[]).await?;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{name}");
        assert!(answer.headers().contains_key("www-authenticate"), "{name}");
        let problem: Value = answer.json().await?;
        assert_eq!(problem["code"], "unauthenticated", "{name}: {problem}");
    }
    Ok(())
}
