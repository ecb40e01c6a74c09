//! The queues' sending ends, in memory: what was sent, and when it is due.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use edge::{
    error::Result,
    ports::{
        delivery::{AuditEntry, GenerationMessage, OutboxMessage, Queues},
        system::Clock,
    },
};

use super::{
    clock::FakeClock,
    faults::{Faults, Part},
};

#[derive(Default)]
struct Sent {
    generation: Vec<(u64, GenerationMessage)>,
    outbox: Vec<(u64, OutboxMessage)>,
    audit: Vec<AuditEntry>,
}

/// All queues.
#[derive(Clone)]
pub struct FakeQueues {
    clock: FakeClock,
    faults: Faults,
    sent: Arc<Mutex<Sent>>,
}

impl FakeQueues {
    pub fn new(clock: FakeClock, faults: Faults) -> Self {
        Self { clock, faults, sent: Arc::default() }
    }

    /// Messages that wait to be delivered.
    pub fn waiting_generation(&self) -> Vec<GenerationMessage> {
        self.sent.lock().unwrap().generation.iter().map(|(_, message)| message.clone()).collect()
    }

    /// Takes the message that is due first, letting time pass until it is.
    pub fn take_generation(&self) -> Option<GenerationMessage> {
        let mut sent = self.sent.lock().unwrap();
        let first = (0..sent.generation.len()).min_by_key(|i| sent.generation[*i].0)?;
        let (due_ms, message) = sent.generation.remove(first);
        drop(sent);
        self.clock.advance_ms(due_ms.saturating_sub(self.clock.now_ms()));
        Some(message)
    }

    /// Puts a message back, as a consumer's retry does: no fault stops it.
    pub fn put_back(&self, message: GenerationMessage, delay_s: u32) {
        let due_ms = self.clock.now_ms() + u64::from(delay_s) * 1_000;
        self.sent.lock().unwrap().generation.push((due_ms, message));
    }

    /// Wake-ups of the outbox, with the seconds until they are due.
    pub fn take_outbox(&self) -> Vec<(OutboxMessage, u64)> {
        let now_ms = self.clock.now_ms();
        let messages = std::mem::take(&mut self.sent.lock().unwrap().outbox);
        messages
            .into_iter()
            .map(|(due_ms, message)| (message, due_ms.saturating_sub(now_ms) / 1_000))
            .collect()
    }

    /// Audit entries so far.
    pub fn audit(&self) -> Vec<AuditEntry> {
        self.sent.lock().unwrap().audit.clone()
    }
}

#[async_trait]
impl Queues for FakeQueues {
    async fn send_generation(&self, message: GenerationMessage, delay_s: u32) -> Result<()> {
        self.faults.pass(Part::Queue, "queue.generation", || {
            self.put_back(message, delay_s);
            Ok(())
        })
    }

    async fn send_outbox(&self, message: OutboxMessage, delay_s: u32) -> Result<()> {
        self.faults.pass(Part::Queue, "queue.outbox", || {
            let due_ms = self.clock.now_ms() + u64::from(delay_s) * 1_000;
            self.sent.lock().unwrap().outbox.push((due_ms, message));
            Ok(())
        })
    }

    async fn send_audit(&self, entry: AuditEntry) -> Result<()> {
        self.faults.pass(Part::Queue, "queue.audit", || {
            self.sent.lock().unwrap().audit.push(entry);
            Ok(())
        })
    }
}
