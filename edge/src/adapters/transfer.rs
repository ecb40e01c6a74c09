//! An artifact on its way from a node to storage: handed from stream to stream by the runtime.

use shared::node::jobs::Artifact;

use super::http_client::{Answer, Call};
use crate::ports::fleet::{NodeFailure, StoreFailure};

/// Stores what `source` brings, if it is what the node announced.
///
/// Only its head is compared: a body that breaks off before its announced length breaks the upload, too, and hashing
/// it here would hold in memory whatever storage takes more slowly than the node gives.
pub async fn transfer(
    source: Answer,
    upload: Call,
    artifact: &Artifact,
) -> Result<(), StoreFailure> {
    if let Some(difference) = difference(&source, artifact) {
        source.discard();
        return Err(StoreFailure::Node(NodeFailure::unreachable(difference)));
    }
    let body = source.response.body();
    let body = body
        .ok_or_else(|| StoreFailure::Node(NodeFailure::unreachable("an artifact without bytes")))?;
    let answer = upload.stream(&body).send().await.map_err(|e| storage(e.0))?;
    let text = answer.text().await.map_err(|e| storage(e.0))?;
    if answer.is_success() {
        return Ok(());
    }
    let cause: String = text.chars().take(200).collect();
    Err(storage(format!("status {}: {cause}", answer.status())))
}

fn difference(source: &Answer, artifact: &Artifact) -> Option<String> {
    let length = source.header("content-length");
    if length.as_deref() != Some(artifact.bytes.to_string().as_str()) {
        let length = length.unwrap_or_else(|| "an unknown number of".to_owned());
        return Some(format!("an artifact of {length} bytes instead of {}", artifact.bytes));
    }
    let tag = source.header("etag").unwrap_or_default();
    let hash = tag.trim_matches('"');
    (!hash.is_empty() && hash != artifact.sha256)
        .then(|| "an artifact that changed since it was announced".to_owned())
}

fn storage(cause: String) -> StoreFailure {
    StoreFailure::Storage { cause }
}
