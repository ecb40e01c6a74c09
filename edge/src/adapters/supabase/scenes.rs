//! The table `scenes`, and the pictures in storage: as the caller, but for files that nobody's row shows.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use shared::{
    api::{Page, scenes::Scene},
    ids::SceneId,
};
use worker::send::SendFuture;

use super::{
    client::{Role, SupabaseClient},
    pages::{page_of, page_query},
    storage,
};
use crate::{
    adapters::native::native_response,
    caller::AccessToken,
    error::Result,
    ports::{NativeResponse, stores::SceneStore},
};

/// Far longer than storing a picture and finishing its job takes.
const STRAY_AFTER_S: u32 = 15 * 60;

/// Scenes in Supabase. `image_url` is the picture's bucket and path here.
pub struct SupabaseSceneStore {
    pub client: Arc<SupabaseClient>,
}

#[async_trait]
impl SceneStore for SupabaseSceneStore {
    async fn list(
        &self,
        token: &AccessToken,
        limit: u64,
        cursor: Option<&str>,
    ) -> Result<Page<Scene>> {
        let query = format!("scenes?{}", page_query(limit, cursor)?);
        let rows: Vec<Scene> = self.client.select(Role::User(token), query).await?;
        Ok(page_of(rows, limit, |scene| (&scene.created_at, scene.id.0)))
    }

    async fn find(&self, token: &AccessToken, id: SceneId) -> Result<Option<Scene>> {
        let rows = self.client.select(Role::User(token), format!("scenes?id=eq.{id}")).await?;
        Ok(rows.into_iter().next())
    }

    async fn delete(&self, token: &AccessToken, id: SceneId) -> Result<bool> {
        let Some(scene) = self.find(token, id).await? else { return Ok(false) };
        // The file first: a row without a file can be deleted again, a file without a row would be forgotten.
        SendFuture::new(storage::delete(&self.client, Role::User(token), &scene.image_url)).await?;
        let query = format!("scenes?id=eq.{id}");
        self.client.write(Role::User(token), ("DELETE", &query), "return=minimal", None).await?;
        Ok(true)
    }

    async fn picture(&self, token: &AccessToken, scene: &Scene) -> Result<Option<NativeResponse>> {
        SendFuture::new(async move {
            let found = storage::read(&self.client, Role::User(token), &scene.image_url).await?;
            Ok(found.map(native_response))
        })
        .await
    }

    async fn stray_files(&self, limit: u32) -> Result<Vec<String>> {
        let order = json!({ "p_limit": limit, "p_age_seconds": STRAY_AFTER_S });
        self.client.rpc(Role::Service, "find_stray_files", order).await
    }

    async fn remove_file(&self, path: &str) -> Result<()> {
        SendFuture::new(storage::delete(&self.client, Role::Service, path)).await
    }
}
