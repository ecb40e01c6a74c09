//! The table `image_generations`, as the caller.

use std::sync::Arc;

use async_trait::async_trait;
use shared::ids::GenerationId;

use super::client::{Role, SupabaseClient};
use crate::{
    caller::AccessToken,
    error::Result,
    ports::stores::{ImageGeneration, ImageStore},
};

/// Generations in Supabase.
pub struct SupabaseImageStore {
    pub client: Arc<SupabaseClient>,
}

#[async_trait]
impl ImageStore for SupabaseImageStore {
    async fn find(
        &self,
        token: &AccessToken,
        id: &GenerationId,
    ) -> Result<Option<ImageGeneration>> {
        // An id has no character that means anything in a query.
        let query = format!("image_generations?id=eq.{id}");
        let rows = self.client.select(Role::User(token), query).await?;
        Ok(rows.into_iter().next())
    }
}
