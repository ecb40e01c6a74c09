//! Messages to third parties, as an admin sees them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::JobId;

/// One message: an item of `GET /api/admin/outbox`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutboxEntry {
    pub id: String,
    pub job_id: Option<JobId>,
    /// Whom it is for: `discord`.
    pub topic: String,
    /// What happened: `scene.completed`, `scene.failed`.
    pub event: String,
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub payload: Value,
    /// `pending`, `delivered`, or `dead`: given up, until it is replayed.
    pub status: String,
    pub attempts: u32,
    pub last_error: Option<String>,
    /// RFC 3339.
    pub created_at: Option<String>,
}
