//! A text model's lane: a bounded queue, and a thread that runs many requests together.

use std::{io, sync::Arc, thread};

use super::{
    door::{Door, Order, Ticket},
    text_worker::TextWorker,
};
use crate::{
    engines::text::{
        batching::{BatchSettings, LoadedText},
        request::{TextEvent, TextInput, TextUsage},
    },
    scheduler::{Failure, LaneStatus, LoadModel, MemoryBudget, Metrics, Refused},
};

/// What brings the model into memory.
pub type LoadText = Box<dyn LoadModel<LoadedText>>;

/// What a text lane must know about its model and its limits.
#[derive(Debug, Clone)]
pub struct TextLaneSettings {
    /// The model's name; also the thread's.
    pub model: String,
    /// Requests that may wait while as many as fit run.
    pub capacity: usize,
    /// What the weights take from the budget; the cache comes on top.
    pub memory_bytes: u64,
    pub batch: BatchSettings,
}

/// Hears of one request's life on the lane's thread: `emitted` any number of times, then `ended` once.
///
/// A cancelled request ends without a word.
pub trait TextObserver: Send {
    /// More is known of the answer.
    fn emitted(&mut self, event: TextEvent);
    /// It is over: every continuation ended, or it failed.
    fn ended(self: Box<Self>, outcome: Result<TextUsage, Failure>);
}

pub(super) struct TextOrder {
    pub(super) input: TextInput,
    pub(super) observer: Box<dyn TextObserver>,
}

impl Order for TextOrder {
    fn fail(self, failure: Failure) {
        self.observer.ended(Err(failure));
    }
}

/// One model's queue and thread; dropping it ends the thread and what runs.
pub struct TextLane {
    door: Arc<Door<TextOrder>>,
}

impl TextLane {
    /// Starts the thread; the model stays where it is until it is needed.
    pub fn start(
        settings: TextLaneSettings,
        load: LoadText,
        budget: Arc<MemoryBudget>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let TextLaneSettings { model, capacity, memory_bytes, batch } = settings;
        let bytes = memory_bytes.saturating_add(batch.cache_bytes);
        let places = capacity.saturating_add(batch.max_sequences);
        let door = Door::new(&model, places, bytes, (budget, metrics));
        let worker = TextWorker::new(door.clone(), load, batch);
        thread::Builder::new().name(format!("lane {model}")).spawn(move || worker.work())?;
        Ok(Self { door })
    }

    /// Takes the request in or refuses it, without waiting.
    pub fn submit(
        &self,
        input: TextInput,
        observer: Box<dyn TextObserver>,
    ) -> Result<Ticket, Refused> {
        self.door.submit(TextOrder { input, observer })
    }

    /// Requests it takes, running and waiting, before it refuses the next one.
    pub fn places(&self) -> usize {
        self.door.places()
    }

    /// How it is doing.
    pub fn status(&self) -> LaneStatus {
        self.door.status()
    }

    /// Requests that run now.
    pub fn running(&self) -> usize {
        self.door.running()
    }

    /// Loads the model as soon as the thread has nothing else to do.
    pub fn preload(&self) {
        self.door.preload();
    }

    /// Takes nothing new and hands back what waits; what runs goes on.
    pub fn close(&self) {
        self.door.close();
    }

    /// Stops what runs after its current step, because the node will not wait longer.
    pub fn stop_running(&self) {
        self.door.stop_running();
    }
}

impl Drop for TextLane {
    fn drop(&mut self) {
        self.door.leave();
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
