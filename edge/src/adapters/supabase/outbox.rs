//! The table `outbox`.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::client::{Role, SupabaseClient, encoded};
use crate::{
    caller::AccessToken,
    error::{Error, Result},
    ports::stores::{OutboxOutcome, OutboxRow, OutboxStore},
};

/// An admin looks at the latest; older ones are found in the database.
const LISTED_MAX: u32 = 100;

/// The outbox in Supabase.
pub struct SupabaseOutboxStore {
    pub client: Arc<SupabaseClient>,
}

#[async_trait]
impl OutboxStore for SupabaseOutboxStore {
    async fn claim(&self, limit: u32, lease_s: u32) -> Result<Vec<OutboxRow>> {
        let order = json!({ "p_limit": limit, "p_lease_seconds": lease_s });
        self.client.rpc(Role::Service, "claim_outbox", order).await
    }

    async fn settle(&self, id: &str, outcome: OutboxOutcome) -> Result<()> {
        let (word, error, after_s) = match outcome {
            OutboxOutcome::Delivered => ("delivered", None, None),
            OutboxOutcome::Retry { error, after_s } => ("retry", Some(error), Some(after_s)),
            OutboxOutcome::Dead { error } => ("dead", Some(error), None),
        };
        let order = json!({
            "p_id": id, "p_outcome": word, "p_error": error, "p_retry_seconds": after_s,
        });
        self.client.rpc::<Value>(Role::Service, "settle_outbox", order).await.map(drop)
    }

    async fn list(&self, token: &AccessToken, status: Option<&str>) -> Result<Vec<OutboxRow>> {
        let mut query = format!("outbox?order=sequence.desc&limit={LISTED_MAX}");
        if let Some(status) = status {
            query.push_str(&format!("&status=eq.{}", encoded(status)));
        }
        self.client.select(Role::User(token), query).await
    }

    async fn replay(&self, token: &AccessToken, id: &str) -> Result<bool> {
        let order = json!({ "p_id": id });
        match self.client.rpc::<Value>(Role::User(token), "replay_outbox", order).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
