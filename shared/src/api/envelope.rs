//! Huntaze's envelope: `{success, data, meta}` around every answer of its tools.

use serde::{Deserialize, Serialize};

/// An answer that succeeded. Errors are problems, as everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Envelope<T> {
    /// Always `true`.
    pub success: bool,
    pub data: T,
    pub meta: Meta,
}

/// About the request itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Meta {
    pub request_id: String,
    /// RFC 3339.
    pub timestamp: String,
    /// Milliseconds from the request to its answer.
    pub duration: u64,
}
