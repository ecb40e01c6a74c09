//! A node's event stream, as events of its jobs.

use std::collections::VecDeque;

use async_trait::async_trait;
use shared::node::jobs::NodeEvent;

use super::{byte_stream::ByteStream, http_client::Answer, sse::SseParser};
use crate::ports::fleet::{NodeEvents, NodeFailure};

/// A node says something every ten seconds, if only that it is still there.
const SILENCE_MAX_MS: u32 = 35_000;

/// Events on their way from a node. Dropping it hangs up.
pub struct FetchedEvents {
    bytes: ByteStream,
    parser: SseParser,
    read: VecDeque<NodeEvent>,
}

impl FetchedEvents {
    /// Takes over the body of the answer.
    pub fn open(answer: &Answer) -> Result<Self, NodeFailure> {
        let bytes = ByteStream::open(answer)?;
        Ok(Self { bytes, parser: SseParser::default(), read: VecDeque::new() })
    }
}

#[async_trait]
impl NodeEvents for FetchedEvents {
    async fn next(&mut self) -> Result<Option<NodeEvent>, NodeFailure> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(Some(event));
            }
            let Some(chunk) = self.bytes.next(SILENCE_MAX_MS).await? else { return Ok(None) };
            let events = self.parser.push(&chunk);
            // Events of a newer node that this edge doesn't know are passed over.
            self.read.extend(events.iter().filter_map(|e| serde_json::from_str(&e.data).ok()));
        }
    }
}
