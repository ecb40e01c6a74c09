//! How nodes join the edge by themselves: register, then send heartbeats.

use serde::{Deserialize, Serialize};

use crate::validate::{Fields, FromBody};

/// Where a node lives and what it can run: `POST /api/nodes/register`, with the join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterNode {
    /// Chosen by the node, stable over its restarts.
    pub node_id: String,
    /// The base URL at which the edge reaches it.
    pub url: String,
    /// Names of the models it serves.
    pub models: Vec<String>,
    /// Jobs it takes at once before it answers 429.
    pub capacity: u32,
    pub version: String,
}

impl FromBody for RegisterNode {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let models = fields.value("models").and_then(|value| {
            value.as_array()?.iter().map(|name| Some(name.as_str()?.to_owned())).collect()
        });
        if models.is_none() {
            fields.reject("models", "type", "must be a list of model names");
        }
        Self {
            node_id: fields.text("node_id", 100),
            url: fields.text("url", 500),
            models: models.unwrap_or_default(),
            capacity: fields.optional_integer("capacity", 1, 10_000).unwrap_or(1) as u32,
            version: fields.text("version", 60),
        }
    }
}

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeRegistered {
    pub heartbeat_interval_ms: u64,
}

/// A node's load: `POST /api/nodes/{node_id}/heartbeat`. An unknown node is told 404 and registers again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Heartbeat {
    pub running: u32,
    pub queued: u32,
    /// It finishes what runs and takes nothing new.
    pub is_draining: bool,
    /// What `/health/ready` says: its default model could be loaded, and nothing is being loaded first.
    pub is_ready: bool,
}

impl FromBody for Heartbeat {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        Self {
            running: fields.optional_integer("running", 0, 1_000_000).unwrap_or(0) as u32,
            queued: fields.optional_integer("queued", 0, 1_000_000).unwrap_or(0) as u32,
            is_draining: fields.optional_flag("is_draining").unwrap_or(false),
            is_ready: fields.optional_flag("is_ready").unwrap_or(true),
        }
    }
}
