//! Whether the edge and what stands behind it work.

use serde::{Deserialize, Serialize};

/// The answer to `GET /api/health`: 200, or 503 when the database can't be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    pub status: HealthStatus,
    pub version: String,
    /// `local`, `staging` or `production`.
    pub environment: String,
    pub checks: HealthChecks,
}

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum HealthStatus {
    Ok,
    /// It answers, but no node would generate anything now.
    Degraded,
    Unavailable,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HealthChecks {
    pub database: DatabaseCheck,
    pub nodes: NodesCheck,
    pub ai: AiCheck,
}

/// The AI service: whether it would have a text written now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AiCheck {
    pub is_available: bool,
    /// The model that writes.
    pub model: String,
    /// Healthy nodes that have it.
    pub nodes: u32,
}

/// Whether the database answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DatabaseCheck {
    Ok,
    Unreachable,
}

/// The fleet; both are 0 when it can't be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodesCheck {
    pub healthy: u32,
    pub total: u32,
}
