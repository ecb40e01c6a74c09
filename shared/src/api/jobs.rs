//! One life cycle for every generation: `queued → initializing → generating → saving → completed | failed | cancelled`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{JobId, UserId};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobStatus {
    Queued,
    Initializing,
    Generating,
    Saving,
    Completed,
    Failed,
    Cancelled,
}

impl JobStatus {
    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Initializing => "initializing",
            Self::Generating => "generating",
            Self::Saving => "saving",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing will change any more.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobStatus {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [
            Self::Queued,
            Self::Initializing,
            Self::Generating,
            Self::Saving,
            Self::Completed,
            Self::Failed,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or(())
    }
}

/// What a job makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobKind {
    Scene,
    Image,
}

impl JobKind {
    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scene => "scene",
            Self::Image => "image",
        }
    }
}

impl FromStr for JobKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "scene" => Ok(Self::Scene),
            "image" => Ok(Self::Image),
            _ => Err(()),
        }
    }
}

/// One stored file of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobOutput {
    /// Bucket and path in storage; a function of the job's id, so that a re-run overwrites.
    pub path: String,
    pub content_type: String,
    pub bytes: u64,
    /// Hex SHA-256 of the file.
    pub sha256: String,
    pub width: u32,
    pub height: u32,
    pub seed: u64,
    pub model: String,
    pub model_revision: String,
    /// Signed, of kinds whose results are handed on: whoever has it reads the file until it runs out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobError {
    pub code: String,
    /// In words, safe to show.
    pub detail: String,
}

/// A job, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    pub id: JobId,
    pub user_id: UserId,
    pub kind: JobKind,
    pub status: JobStatus,
    /// 0–100.
    pub progress: u8,
    pub message: String,
    /// What was asked for, as the route of its kind takes it.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub input: Value,
    /// Empty until `completed`.
    pub outputs: Vec<JobOutput>,
    pub error: Option<JobError>,
    /// Its price, fixed when it was accepted and charged when it completes.
    #[serde(default)]
    pub credits: i64,
    /// Times it was started on a node.
    pub attempts: u32,
    /// RFC 3339, as are the others.
    pub created_at: String,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
}

/// One event of `GET /api/jobs/{id}/events`; its number is the SSE `id`, its status the SSE `event`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobEvent {
    pub job_id: JobId,
    pub status: JobStatus,
    /// 0–100; never falls within one run.
    pub progress: u8,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<JobError>,
}

/// The answer to `DELETE /api/jobs/cleanup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobsRemoved {
    pub removed: u64,
}
