//! What a person may still spend.

use serde::{Deserialize, Serialize};

/// The answer to `GET /api/credits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Credits {
    /// Granted and not yet charged.
    pub balance: i64,
    /// Held for jobs under way; `balance - reserved` is what a new one may cost.
    pub reserved: i64,
}
