//! Reads a stream of server-sent events, one at a time.

use std::pin::Pin;

use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt};
use serde_json::Value;

type Chunks = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// One event as it stood on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct SseEvent {
    pub number: u64,
    pub name: String,
    pub data: Value,
}

pub struct Events {
    chunks: Chunks,
    buffer: String,
}

impl Events {
    pub fn new(body: Body) -> Self {
        Self::from_chunks(body.into_data_stream().map(|chunk| chunk.unwrap()))
    }

    pub fn from_chunks(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self { chunks: Box::pin(chunks), buffer: String::new() }
    }

    /// The next block of lines; `None` when the stream has ended.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Some(block);
            }
            let chunk = self.chunks.next().await?;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event, comments left out.
    pub async fn next(&mut self) -> Option<SseEvent> {
        loop {
            let block = self.block().await?;
            if !block.starts_with(':') {
                return Some(parse(&block));
            }
        }
    }

    /// Reads on up to the event of that name.
    pub async fn until(&mut self, name: &str) -> SseEvent {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("it ended before {name}"));
            if event.name == name {
                return event;
            }
        }
    }

    /// All events up to the end of the stream.
    pub async fn rest(mut self) -> Vec<SseEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn parse(block: &str) -> SseEvent {
    let field = |name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {block}")).trim_start()
    };
    SseEvent {
        number: field("id:").parse().unwrap(),
        name: field("event:").to_owned(),
        data: serde_json::from_str(field("data:")).unwrap(),
    }
}
