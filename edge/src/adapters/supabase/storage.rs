//! Files in Supabase Storage. Their bytes never pass through Rust.

use super::client::{Role, SupabaseClient};
use crate::{
    adapters::http_client::{Answer, Call, Unreached},
    error::{Error, Result},
};

pub(super) const TIMEOUT_MS: u32 = 15_000;

/// A picture of several megabytes over a slow line.
const UPLOAD_TIMEOUT_MS: u32 = 120_000;

/// A file; `None` if there is none, or it isn't the caller's.
pub(super) async fn read(
    client: &SupabaseClient,
    role: Role<'_>,
    path: &str,
) -> Result<Option<Answer>> {
    let path = format!("/storage/v1/object/{path}");
    let call = client.call(role, "GET", &path, TIMEOUT_MS).streaming();
    let answer = call.send().await.map_err(storage_away)?;
    match answer.status() {
        200..=299 => Ok(Some(answer)),
        // Hosted Storage answers 400 to what it doesn't find.
        400 | 403 | 404 => {
            answer.discard();
            Ok(None)
        }
        status => Err(refused(status, &answer.text().await.unwrap_or_default())),
    }
}

/// Removes a file; one that isn't there is removed already.
pub(super) async fn delete(client: &SupabaseClient, role: Role<'_>, path: &str) -> Result<()> {
    let path = format!("/storage/v1/object/{path}");
    let call = client.call(role, "DELETE", &path, TIMEOUT_MS);
    let answer = call.send().await.map_err(storage_away)?;
    let text = answer.text().await.map_err(storage_away)?;
    match answer.status() {
        200..=299 | 400 | 404 => Ok(()),
        status => Err(refused(status, &text)),
    }
}

impl SupabaseClient {
    /// A call that stores a file as the service, replacing what is there. Its body is still to be given.
    pub fn upload(&self, path: &str, content_type: &str) -> Call {
        let path = format!("/storage/v1/object/{path}");
        self.call(Role::Service, "POST", &path, UPLOAD_TIMEOUT_MS)
            .header("content-type", content_type)
            .header("x-upsert", "true")
    }
}

pub(super) fn storage_away(cause: Unreached) -> Error {
    Error::unavailable("storage", cause.0)
}

pub(super) fn refused(status: u16, text: &str) -> Error {
    let cause = format!("status {status}: {}", text.chars().take(200).collect::<String>());
    match status {
        401 => Error::Unauthenticated { reason: "storage refused the token" },
        408 | 429 | 500..=599 => Error::unavailable("storage", cause),
        _ => Error::internal(format!("storage answered: {cause}")),
    }
}
