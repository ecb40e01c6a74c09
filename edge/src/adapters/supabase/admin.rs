//! The tables `settings` and `audit_logs`, and who is an admin.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Role, SupabaseClient, encoded};
use crate::{
    caller::AccessToken,
    error::{Error, Result},
    ports::{delivery::AuditEntry, stores::AdminStore},
};

/// What admins see, in Supabase.
pub struct SupabaseAdminStore {
    pub client: Arc<SupabaseClient>,
}

#[derive(Deserialize)]
struct Setting {
    value: Value,
}

#[async_trait]
impl AdminStore for SupabaseAdminStore {
    async fn setting(&self, token: &AccessToken, key: &str) -> Result<Option<Value>> {
        let query = format!("settings?select=value&key=eq.{}", encoded(key));
        let rows: Vec<Setting> = self.client.select(Role::User(token), query).await?;
        Ok(rows.into_iter().next().map(|setting| setting.value))
    }

    async fn set_setting(&self, token: &AccessToken, key: &str, value: &Value) -> Result<()> {
        let row = json!([{ "key": key, "value": value }]);
        let target = ("POST", "settings?on_conflict=key");
        let prefer = "resolution=merge-duplicates,return=minimal";
        self.client.write(Role::User(token), target, prefer, Some(row)).await.map(drop)
    }

    async fn is_admin(&self, token: &AccessToken) -> Result<bool> {
        self.client.rpc(Role::User(token), "is_admin", json!({})).await
    }

    async fn add_audit(&self, entries: &[AuditEntry]) -> Result<()> {
        let rows = serde_json::to_value(entries).map_err(Error::internal)?;
        let target = ("POST", "audit_logs?on_conflict=id");
        let prefer = "resolution=ignore-duplicates,return=minimal";
        self.client.write(Role::Service, target, prefer, Some(rows)).await.map(drop)
    }

    async fn ping(&self) -> Result<()> {
        let query = "settings?select=key&limit=1".to_owned();
        self.client.select::<Value>(Role::Service, query).await.map(drop)
    }
}
