//! What a node can run: `GET /v1/models` as OpenAI's clients read it, with what our own callers need beside it.

use serde::{Deserialize, Serialize};

use super::image::SchedulerKind;

/// The answer to `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelList {
    /// Always `list`.
    pub object: String,
    pub data: Vec<Model>,
}

/// One model, also the answer to `GET /v1/models/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The name that requests give.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// When this node began to offer it, in Unix seconds.
    pub created: u64,
    pub owned_by: String,
    pub description: String,
    pub modality: String,
    pub architecture: String,
    pub revision: String,
    pub licence: String,
    pub memory_bytes: u64,
    pub is_loaded: bool,
    pub queued: usize,
    /// What an image order gets that leaves things open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageDefaults>,
    /// Tokens that a prompt and its answer, or an embedded text, may have together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<usize>,
}

/// What an image model makes of a bare order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageDefaults {
    pub width: u32,
    pub height: u32,
    pub steps: u32,
    pub guidance: f64,
    pub scheduler: SchedulerKind,
}
