//! What came with an order beside the order itself: in which dialect it was said, and what its caller wants done.

use std::time::Duration;

use serde_json::Value;

/// Whose words a job was ordered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Native,
    RunPod {
        /// Ordered by `runsync`, which shows in the job's id.
        is_sync: bool,
    },
    Replicate,
}

/// How long the caller lets a job take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Patience {
    /// From the engine's start.
    pub run: Option<Duration>,
    /// From the order on; what happens then is the dialect's.
    pub total: Option<Duration>,
}

/// How long a job that ended is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Its input and its results.
    pub data: Duration,
    /// What is left of it then.
    pub record: Duration,
}

/// Where a job's caller wants to be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    pub url: String,
    pub events: CallbackEvents,
}

/// Of what a callback tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallbackEvents {
    pub start: bool,
    pub output: bool,
    pub logs: bool,
    pub completed: bool,
}

/// All of it. [`Origin::native`] for an order that brings nothing.
#[derive(Debug, Clone)]
pub struct Origin {
    pub dialect: Dialect,
    /// The input as the caller wrote it.
    pub input: Option<Value>,
    pub patience: Patience,
    /// As the node is configured when absent.
    pub keep: Option<Keep>,
    pub callback: Option<Callback>,
    /// Where the caller reaches this node, for links that are sent to it.
    pub base_url: String,
}

impl Origin {
    /// An order in the node's own protocol.
    pub fn native() -> Self {
        Self {
            dialect: Dialect::Native,
            input: None,
            patience: Patience::default(),
            keep: None,
            callback: None,
            base_url: String::new(),
        }
    }

    /// About how much memory it holds.
    pub fn input_bytes(&self) -> u64 {
        self.input.as_ref().map_or(0, text_bytes)
    }
}

/// Texts are all that grows large in an input.
fn text_bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(members) => members.values().map(text_bytes).sum(),
        _ => 0,
    }
}
