//! Nodes that write texts, in memory: each call follows a script, word by word.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use edge::ports::{
    fleet::{NodeFailure, NodeRef},
    system::Clock,
    text::{TextNodes, TextPiece, TextStream, TokenUsage},
};
use shared::node::text::ChatRequest;

use super::{
    clock::FakeClock,
    faults::{Faults, Part},
};

/// Tokens that every prompt is said to have.
pub const PROMPT_TOKENS: u64 = 100;

/// How a text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With its reason and its usage.
    Said(&'static str),
    /// In the middle: the connection breaks.
    Broken,
    /// In the middle: the stream just ends.
    Cut,
    /// Never: no word follows.
    Silence,
}

/// One call to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Refused before anything was written.
    pub refusal: Option<NodeFailure>,
    /// Tokens of thoughts before the first word, one per `word_ms`.
    pub thoughts: usize,
    pub words: Vec<String>,
    pub word_ms: u64,
    pub ending: Ending,
}

impl Script {
    /// Says this, a token per word.
    pub fn says(text: &str) -> Self {
        let words = text.split_inclusive(' ').map(str::to_owned).collect();
        let (refusal, thoughts) = (None, 0);
        Self { refusal, thoughts, words, word_ms: 100, ending: Ending::Said("stop") }
    }

    pub fn refuses(refusal: NodeFailure) -> Self {
        Self { refusal: Some(refusal), ..Self::says("") }
    }

    pub fn full(retry_after_s: u32) -> Self {
        Self::refuses(NodeFailure::Full { retry_after_s })
    }

    /// Thinks first, for so long.
    pub fn thinks(self, thoughts: usize) -> Self {
        Self { thoughts, ..self }
    }

    pub fn ends(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }
}

#[derive(Default)]
struct Writer {
    scripts: VecDeque<Script>,
    requests: Vec<ChatRequest>,
    hung_up: u32,
}

/// All nodes that write.
#[derive(Clone)]
pub struct FakeWriters {
    clock: FakeClock,
    faults: Faults,
    writers: Arc<Mutex<HashMap<String, Writer>>>,
}

impl FakeWriters {
    pub fn new(clock: FakeClock, faults: Faults) -> Self {
        Self { clock, faults, writers: Arc::default() }
    }

    /// What a node does at its next calls; the last one is repeated.
    pub fn follow(&self, node_id: &str, scripts: impl IntoIterator<Item = Script>) {
        self.with(node_id, |writer| writer.scripts = scripts.into_iter().collect());
    }

    /// What a node was asked.
    pub fn requests(&self, node_id: &str) -> Vec<ChatRequest> {
        self.with(node_id, |writer| writer.requests.clone())
    }

    /// How often somebody hung up on it before the end.
    pub fn hung_up(&self, node_id: &str) -> u32 {
        self.with(node_id, |writer| writer.hung_up)
    }

    fn with<T>(&self, node_id: &str, act: impl FnOnce(&mut Writer) -> T) -> T {
        act(self.writers.lock().unwrap().entry(node_id.to_owned()).or_default())
    }
}

#[async_trait]
impl TextNodes for FakeWriters {
    async fn open(
        &self,
        node: &NodeRef,
        request: &ChatRequest,
    ) -> Result<Box<dyn TextStream>, NodeFailure> {
        if self.faults.fault(Part::Node, "node.text").is_some() {
            return Err(NodeFailure::Unreachable { cause: "struck".to_owned() });
        }
        let script = self.with(&node.node_id, |writer| {
            writer.requests.push(request.clone());
            match writer.scripts.len() {
                0 => Script::says("Hello there friend"),
                1 => writer.scripts[0].clone(),
                _ => writer.scripts.pop_front().unwrap(),
            }
        });
        if let Some(refusal) = script.refusal {
            return Err(refusal);
        }
        let (writers, node_id) = (self.clone(), node.node_id.clone());
        Ok(Box::new(FakeText { writers, node_id, script, thought: 0, said: 0, is_over: false }))
    }
}

struct FakeText {
    writers: FakeWriters,
    node_id: String,
    script: Script,
    thought: usize,
    said: usize,
    is_over: bool,
}

#[async_trait]
impl TextStream for FakeText {
    async fn next(&mut self) -> Result<Option<TextPiece>, NodeFailure> {
        if self.is_over {
            return Ok(None);
        }
        if self.thought < self.script.thoughts {
            self.writers.clock.sleep_ms(self.script.word_ms).await;
            self.thought += 1;
            return Ok(Some(TextPiece { tokens: 1, ..TextPiece::default() }));
        }
        if let Some(word) = self.script.words.get(self.said) {
            self.writers.clock.sleep_ms(self.script.word_ms).await;
            self.said += 1;
            return Ok(Some(TextPiece { text: word.clone(), tokens: 1, ..TextPiece::default() }));
        }
        match self.script.ending {
            Ending::Said(reason) => {
                self.is_over = true;
                let usage = TokenUsage {
                    prompt_tokens: PROMPT_TOKENS,
                    completion_tokens: (self.script.thoughts + self.script.words.len()) as u64,
                };
                let finish_reason = Some(reason.to_owned());
                Ok(Some(TextPiece { finish_reason, usage: Some(usage), ..TextPiece::default() }))
            }
            Ending::Broken => {
                Err(NodeFailure::Unreachable { cause: "connection reset".to_owned() })
            }
            Ending::Cut => Ok(None),
            Ending::Silence => {
                self.writers.clock.sleep_ms(u64::MAX / 4).await;
                Ok(None)
            }
        }
    }
}

impl Drop for FakeText {
    fn drop(&mut self) {
        if !self.is_over {
            self.writers.with(&self.node_id, |writer| writer.hung_up += 1);
        }
    }
}
