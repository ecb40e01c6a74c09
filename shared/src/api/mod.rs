//! Bodies of the public API, one file per domain.

pub mod assistant;
pub mod creator_tools;
pub mod credits;
pub mod envelope;
pub mod fleet;
pub mod health;
pub mod images;
pub mod jobs;
pub mod outbox;
pub mod scenes;
pub mod settings;

use serde::{Deserialize, Serialize};

/// One page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass it as `cursor` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
