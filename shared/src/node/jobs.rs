//! The node's own job protocol: `POST /v1/jobs`, then its events as SSE, then its artifacts.

use serde::{Deserialize, Serialize};

use crate::{
    ids::JobId,
    node::image::ImageInput,
    validate::{Fields, FromBody},
};

/// The order for a run. Sending it again with the same id attaches to the run in progress (or its result).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateNodeJob {
    pub id: JobId,
    /// A model's name from its manifest.
    pub model: String,
    pub image: ImageInput,
}

impl FromBody for CreateNodeJob {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let id = fields.parsed("id", "must be a UUID");
        let model = fields.text("model", 100);
        let image = fields.object("image");
        Self {
            id: id.unwrap_or(JobId(uuid::Uuid::nil())),
            model,
            image: image.unwrap_or_else(|| ImageInput::from_prompt(String::new())),
        }
    }
}

/// Where a run stands on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NodeJobStatus {
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
}

/// The answer to `POST /v1/jobs` (201 new, 200 attached) and `GET /v1/jobs/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeJob {
    pub id: JobId,
    pub status: NodeJobStatus,
    pub model: String,
    /// Runs before it in its lane; 0 when running or ended.
    pub queue_position: u32,
    /// From the lane's own history; absent until it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_ms: Option<u64>,
}

/// One result of a run: fetched at `/v1/jobs/{id}/artifacts/{index}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Artifact {
    pub index: u32,
    pub content_type: String,
    pub bytes: u64,
    /// Hex SHA-256 of the bytes.
    pub sha256: String,
    pub width: u32,
    pub height: u32,
    pub seed: u64,
}

/// One event of `GET /v1/jobs/{id}/events`. The SSE `event` is the tag, the SSE `id` a number that grows by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NodeEvent {
    /// Waiting for the lane.
    Queued { position: u32, estimated_ms: Option<u64> },
    /// The engine began.
    Started,
    /// `step` of `steps` is done.
    Progress { step: u32, steps: u32 },
    /// What picture `index` looks like after `step`: base64 of a small JPEG.
    Preview { index: u32, step: u32, jpeg: String },
    /// The end: everything can be fetched.
    Completed {
        artifacts: Vec<Artifact>,
        model: String,
        model_revision: String,
        engine_version: String,
        queued_ms: u64,
        run_ms: u64,
    },
    /// The end: running it again elsewhere helps only if `is_retryable`.
    Failed { code: String, detail: String, is_retryable: bool },
    /// The end: somebody asked for it.
    Cancelled,
}

impl NodeEvent {
    /// The SSE `event`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Started => "started",
            Self::Progress { .. } => "progress",
            Self::Preview { .. } => "preview",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether no event follows.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled)
    }
}
