//! Files that pass through the edge, in Supabase Storage.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use worker::send::SendFuture;

use super::{
    client::{Role, SupabaseClient},
    storage::{self, TIMEOUT_MS, refused, storage_away},
};
use crate::{
    adapters::http_client::Answer,
    error::{Error, Result},
    ports::files::Files,
};

/// Storage, with the secret key.
pub struct SupabaseFiles {
    pub client: Arc<SupabaseClient>,
}

#[derive(Deserialize)]
struct Signed {
    #[serde(rename = "signedURL")]
    signed_url: String,
}

#[async_trait]
impl Files for SupabaseFiles {
    async fn put(&self, path: &str, content_type: &str, bytes: Vec<u8>) -> Result<()> {
        let call = self.client.upload(path, content_type).bytes(&bytes);
        SendFuture::new(async move {
            let answer = call.send().await.map_err(storage_away)?;
            successful(answer).await.map(drop)
        })
        .await
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        SendFuture::new(async move {
            match storage::read(&self.client, Role::Service, path).await? {
                Some(answer) => answer.bytes().await.map(Some).map_err(storage_away),
                None => Ok(None),
            }
        })
        .await
    }

    async fn sign(&self, path: &str, lifetime_s: u64) -> Result<String> {
        let path = format!("/storage/v1/object/sign/{path}");
        let call = self.client.call(Role::Service, "POST", &path, TIMEOUT_MS);
        let call = call.json(&json!({ "expiresIn": lifetime_s }));
        SendFuture::new(async move {
            let text = successful(call.send().await.map_err(storage_away)?).await?;
            let signed: Signed = serde_json::from_str(&text).map_err(Error::internal)?;
            Ok(format!("{}/storage/v1{}", self.client.url, signed.signed_url))
        })
        .await
    }
}

async fn successful(answer: Answer) -> Result<String> {
    let text = answer.text().await.map_err(storage_away)?;
    if answer.is_success() { Ok(text) } else { Err(refused(answer.status(), &text)) }
}
