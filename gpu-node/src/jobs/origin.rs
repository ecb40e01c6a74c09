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

    /// About how much memory its input takes.
    pub fn input_bytes(&self) -> u64 {
        self.input.as_ref().map_or(0, value_bytes)
    }
}

/// What a member's name takes beside its text.
const NAME_BYTES: usize = size_of::<String>() + 2 * size_of::<usize>();

/// A number or a `null` takes as much as its place does, and a million of them are no less than one long text.
fn value_bytes(value: &Value) -> u64 {
    let member =
        |(name, value): (&String, &Value)| (NAME_BYTES + name.len()) as u64 + value_bytes(value);
    let held = match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        Value::Object(members) => members.iter().map(member).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    held + size_of::<Value>() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_count_as_texts_do() {
        let bytes = |input| Origin { input: Some(input), ..Origin::native() }.input_bytes();
        assert!(bytes(json!({ "x": vec![0; 1000] })) >= 16_000);
        assert!(bytes(json!({ "x": "y".repeat(1000) })) >= 1000);
        assert!(bytes(json!({ "x".repeat(1000): null })) >= 1000);
        assert_eq!(Origin::native().input_bytes(), 0);
    }
}
