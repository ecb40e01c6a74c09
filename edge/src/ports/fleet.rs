//! The nodes: which there are, and talking to one.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared::{
    api::fleet::{Heartbeat, RegisterNode},
    ids::JobId,
    node::jobs::{Artifact, CreateNodeJob, NodeEvent, NodeJob},
};

use crate::error::Result;

/// A node that may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRef {
    pub node_id: String,
    pub url: String,
}

/// A node as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    pub node_id: String,
    pub url: String,
    pub models: Vec<String>,
    pub running: u32,
    pub queued: u32,
    /// Texts that the edge has it write now.
    #[serde(default)]
    pub texts: u32,
    pub capacity: u32,
    pub is_healthy: bool,
    pub last_seen_ms: u64,
}

/// Which nodes there are, how loaded, and which not to ask for a while.
#[async_trait]
pub trait Fleet: Send + Sync {
    async fn register(&self, node: RegisterNode) -> Result<()>;
    /// `false` when the node isn't known and must register again.
    async fn heartbeat(&self, node_id: &str, heartbeat: Heartbeat) -> Result<bool>;
    async fn leave(&self, node_id: &str) -> Result<()>;
    /// The healthy, least loaded node that has the model and isn't in `not_these`.
    async fn pick(&self, model: &str, not_these: &[String]) -> Result<Option<NodeRef>>;
    /// The healthy node that has the model and writes the fewest texts now; the text counts until `end_text`.
    async fn pick_text(&self, model: &str, not_these: &[String]) -> Result<Option<NodeRef>>;
    /// A text on that node is over; feeds the circuit breaker, unless it says nothing about the node's health.
    async fn end_text(&self, node_id: &str, is_ok: Option<bool>) -> Result<()>;
    /// Whether any healthy node has the model (full ones included).
    async fn has_model(&self, model: &str) -> Result<bool>;
    /// Feeds the circuit breaker.
    async fn report(&self, node_id: &str, is_ok: bool) -> Result<()>;
    async fn list(&self) -> Result<Vec<NodeState>>;
}

/// Why a node did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeFailure {
    /// Its lane is full.
    Full { retry_after_s: u32 },
    /// It refuses this job, and would again.
    Refused { code: String, detail: String },
    /// It doesn't know the job (any more).
    Unknown,
    /// It can't be reached, or broke off.
    Unreachable { cause: String },
}

impl NodeFailure {
    /// It can't be reached, or what it says makes no sense.
    pub fn unreachable(cause: impl Into<String>) -> Self {
        Self::Unreachable { cause: cause.into() }
    }
}

/// What a node says about a run, one at a time.
#[async_trait]
pub trait NodeEvents: Send {
    /// The next event; `None` when the stream ended without an end event.
    async fn next(&mut self) -> std::result::Result<Option<NodeEvent>, NodeFailure>;
}

/// Talks to one node.
#[async_trait]
pub trait NodeClient: Send + Sync {
    /// Opens the run, or attaches to it.
    async fn open(
        &self,
        node: &NodeRef,
        job: &CreateNodeJob,
    ) -> std::result::Result<NodeJob, NodeFailure>;
    async fn events(
        &self,
        node: &NodeRef,
        job: JobId,
    ) -> std::result::Result<Box<dyn NodeEvents>, NodeFailure>;
    async fn cancel(&self, node: &NodeRef, job: JobId) -> std::result::Result<(), NodeFailure>;
    /// Streams an artifact from the node to storage at `path` (`bucket/…`), overwriting, without holding it in memory.
    async fn store_artifact(
        &self,
        node: &NodeRef,
        job: JobId,
        artifact: &Artifact,
        path: &str,
    ) -> std::result::Result<(), StoreFailure>;
}

/// Which side of the transfer failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFailure {
    Node(NodeFailure),
    Storage { cause: String },
}
