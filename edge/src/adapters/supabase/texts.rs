//! The table `text_runs`, through the database's functions.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::ids::JobId;

use super::client::{Role, SupabaseClient};
use crate::{
    caller::AccessToken,
    error::Result,
    ports::text::{FreeText, NewTextRun, RunPlace, TextBill, TextStore, TextTotals},
};

/// Texts in Supabase.
pub struct SupabaseTextStore {
    pub client: Arc<SupabaseClient>,
}

#[derive(Deserialize)]
struct Settled {
    credits: i64,
}

#[async_trait]
impl TextStore for SupabaseTextStore {
    async fn open(&self, token: &AccessToken, new: &NewTextRun<'_>) -> Result<()> {
        let order = json!({
            "p_id": new.id,
            "p_kind": new.kind,
            "p_model": new.model,
            "p_room": new.room,
            "p_request_id": new.request_id,
            "p_max_tokens": new.max_tokens,
        });
        self.client.rpc::<Value>(Role::User(token), "open_text_run", order).await.map(drop)
    }

    async fn settle(&self, id: JobId, bill: &TextBill) -> Result<i64> {
        let order = json!({
            "p_id": id,
            "p_status": bill.status,
            "p_prompt_tokens": bill.usage.prompt_tokens,
            "p_completion_tokens": bill.usage.completion_tokens,
            "p_is_charged": bill.is_charged,
            "p_switches": bill.switches,
            "p_first_token_ms": bill.first_token_ms,
            "p_duration_ms": bill.duration_ms,
            "p_error": bill.error,
        });
        let settled: Settled = self.client.rpc(Role::Service, "settle_text_run", order).await?;
        Ok(settled.credits)
    }

    async fn record_free(&self, free: &FreeText<'_>) -> Result<()> {
        let order = json!({
            "p_id": free.id,
            "p_user_id": free.user_id,
            "p_kind": free.kind,
            "p_model": free.model,
            "p_room": free.room,
            "p_request_id": free.request_id,
            "p_cache": free.cache,
            "p_duration_ms": free.duration_ms,
        });
        self.client.rpc::<Value>(Role::Service, "record_free_text", order).await.map(drop)
    }

    async fn find(&self, token: &AccessToken, id: JobId) -> Result<Option<RunPlace>> {
        let query = format!("text_runs?id=eq.{id}&select=id,room");
        Ok(self.client.select(Role::User(token), query).await?.into_iter().next())
    }

    async fn delete_old(&self) -> Result<Vec<(String, u64)>> {
        let deleted: BTreeMap<String, u64> =
            self.client.rpc(Role::Service, "delete_old_texts", json!({})).await?;
        Ok(deleted.into_iter().collect())
    }

    async fn totals(&self) -> Result<Vec<TextTotals>> {
        let query = "text_totals?order=kind,status,cached".to_owned();
        self.client.select(Role::Service, query).await
    }
}
