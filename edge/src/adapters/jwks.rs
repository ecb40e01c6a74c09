//! Fetches the key sets of issuers.

use async_trait::async_trait;
use serde_json::Value;
use worker::send::SendFuture;

use super::http_client::{Call, Unreached};
use crate::{
    error::{Error, Result},
    ports::auth::KeySetSource,
};

const TIMEOUT_MS: u32 = 5_000;

/// Key sets over HTTP.
pub struct HttpKeySets;

#[async_trait]
impl KeySetSource for HttpKeySets {
    async fn fetch(&self, jwks_url: &str) -> Result<Value> {
        let call =
            Call::new("GET", jwks_url.to_owned(), TIMEOUT_MS).header("accept", "application/json");
        SendFuture::new(async move {
            let answer = call.send().await.map_err(unavailable)?;
            if !answer.is_success() {
                answer.discard();
                let cause = format!("status {}", answer.status());
                return Err(Error::unavailable("key set", cause));
            }
            let text = answer.text().await.map_err(unavailable)?;
            serde_json::from_str(&text).map_err(|e| Error::unavailable("key set", e))
        })
        .await
    }
}

fn unavailable(cause: Unreached) -> Error {
    Error::unavailable("key set", cause.0)
}
