//! The stand-in for other issuers of tokens: `tests/stand-ins/issuer.mjs`.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use reqwest::Client;
use serde_json::{Value, json};

use crate::stack::Stack;

/// The audience the first two issuers are configured with.
pub const AUDIENCE: &str = "chandelle";

/// What the stand-in is asked to sign: start from [`Order::new`] and break one thing.
#[derive(Debug, Clone)]
pub struct Order {
    pub header: Value,
    pub claims: Value,
    /// The key it is signed with: an algorithm, `secret`, `public` or `stranger`.
    pub with: &'static str,
}

impl Order {
    /// A token of the issuer with keys, valid for an hour, signed as `alg` says.
    pub fn new(stack: &Stack, alg: &'static str) -> Result<Self> {
        let now_s = now_s()?;
        Ok(Self {
            header: json!({ "alg": alg, "typ": "JWT", "kid": alg }),
            claims: json!({
                "iss": format!("{}/keys", stack.issuer_url), "aud": AUDIENCE, "role": "authenticated",
                "sub": uuid::Uuid::new_v4(), "iat": now_s, "exp": now_s + 3600,
            }),
            with: alg,
        })
    }

    /// A token of the issuer that shares a secret with the edge.
    pub fn by_secret(stack: &Stack) -> Result<Self> {
        let mut order = Self::new(stack, "HS256")?;
        order.claims["iss"] = json!(format!("{}/secret", stack.issuer_url));
        order.with = "secret";
        Ok(order)
    }

    /// A session's token as Clerk writes it (which signs with RS256): no audience, no role, an id that is no UUID.
    pub fn by_clerk(stack: &Stack, alg: &'static str) -> Result<Self> {
        let mut order = Self::new(stack, alg)?;
        let now_s = now_s()?;
        order.claims = json!({
            "iss": format!("{}/clerk", stack.issuer_url), "azp": "https://app.example",
            "sub": "user_2abc123", "sid": "sess_1", "v": 2, "fva": [0, -1], "sts": "active",
            "iat": now_s, "nbf": now_s - 10, "exp": now_s + 600,
        });
        Ok(order)
    }

    /// The same with one claim changed.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// The same with one header field changed.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// The same signed with another key.
    pub fn signed_with(mut self, key: &'static str) -> Self {
        self.with = key;
        self
    }

    /// The token.
    pub async fn sign(&self, stack: &Stack) -> Result<String> {
        let order = json!({ "header": self.header, "claims": self.claims, "with": self.with });
        let answer = Client::new().post(format!("{}/sign", stack.issuer_url)).json(&order).send();
        let signed: Value = answer.await?.error_for_status()?.json().await?;
        Ok(signed["token"].as_str().context("a token")?.to_owned())
    }
}

/// How often the edge asked for the keys.
pub async fn key_fetches(stack: &Stack) -> Result<u64> {
    let answer: Value = reqwest::get(format!("{}/fetches", stack.issuer_url)).await?.json().await?;
    answer["fetches"].as_u64().context("a number of fetches")
}

/// Seconds since 1970.
pub fn now_s() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}
