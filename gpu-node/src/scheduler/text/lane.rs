//! A text model's lane: a bounded queue, and a thread that runs many requests together.
//!
//! This side is called by everyone else; the thread's own side is `worker.rs`.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, Weak},
    thread,
    time::Instant,
};

use super::{pace::Pace, worker::Worker};
use crate::{
    engines::{
        EngineError,
        text::{
            batching::{BatchSettings, LoadedText},
            request::{TextEvent, TextInput, TextUsage},
        },
    },
    scheduler::{
        Failure, LaneStatus, LoadState, MemoryBudget, Metrics, Refused,
        budget::Tenant,
        locked,
        stop::{StopFlag, StopReason},
    },
};

/// Brings the model into memory; called on the lane's thread, again after an unload or a panic.
pub type LoadText = Box<dyn FnMut() -> Result<LoadedText, EngineError> + Send>;

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

/// A request's place in the lane; dropping it cancels the request at the next step.
#[derive(Debug)]
pub struct TextTicket {
    stop: Arc<StopFlag>,
    budget: Weak<MemoryBudget>,
}

impl Drop for TextTicket {
    fn drop(&mut self) {
        self.stop.raise(StopReason::Cancelled);
        if let Some(budget) = self.budget.upgrade() {
            budget.wake();
        }
    }
}

/// A request on its way.
pub(super) struct Entry {
    pub(super) input: TextInput,
    pub(super) observer: Box<dyn TextObserver>,
    pub(super) stop: Arc<StopFlag>,
    pub(super) since: Instant,
}

/// One model's queue and thread; dropping it ends the thread and what runs.
pub struct TextLane {
    shared: Arc<Shared>,
}

pub(super) struct State {
    pub(super) waiting: VecDeque<Entry>,
    /// Requests that run.
    pub(super) running: usize,
    pub(super) pace: Pace,
    pub(super) load: LoadState,
    pub(super) must_unload: bool,
    /// Nothing new is taken in.
    pub(super) is_closed: bool,
    /// What runs is to end now.
    pub(super) must_stop: bool,
    pub(super) is_dropped: bool,
}

/// What the lane's callers and its thread have in common.
pub(super) struct Shared {
    pub(super) settings: TextLaneSettings,
    pub(super) state: Mutex<State>,
    pub(super) wake: Condvar,
    pub(super) budget: Arc<MemoryBudget>,
    pub(super) metrics: Arc<Metrics>,
}

impl TextLane {
    /// Starts the thread; the model stays where it is until it is needed.
    pub fn start(
        settings: TextLaneSettings,
        load: LoadText,
        budget: Arc<MemoryBudget>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        metrics.set_queue(&settings.model, 0, 0);
        metrics.set_loaded(&settings.model, false);
        let state = State {
            waiting: VecDeque::new(),
            running: 0,
            pace: Pace::default(),
            load: LoadState::NotLoaded,
            must_unload: false,
            is_closed: false,
            must_stop: false,
            is_dropped: false,
        };
        let name = format!("lane {}", settings.model);
        let wake = Condvar::new();
        let shared = Arc::new(Shared { settings, state: Mutex::new(state), wake, budget, metrics });
        let worker = Worker::new(shared.clone(), load);
        thread::Builder::new().name(name).spawn(move || worker.work())?;
        Ok(Self { shared })
    }

    /// Requests it takes, running and waiting, before it refuses the next one.
    pub fn places(&self) -> usize {
        let settings = &self.shared.settings;
        settings.capacity + settings.batch.max_sequences
    }

    /// Takes the request in or refuses it, without waiting.
    pub fn submit(
        &self,
        input: TextInput,
        observer: Box<dyn TextObserver>,
    ) -> Result<TextTicket, Refused> {
        let (stop, since) = (Arc::<StopFlag>::default(), Instant::now());
        let mut state = locked(&self.shared.state);
        if state.is_closed {
            return Err(Refused::Draining);
        }
        let places = self.places();
        if state.waiting.len() + state.running >= places {
            // Whoever was cancelled has given its place up.
            self.shared.drop_cancelled(&mut state);
        }
        if state.waiting.len() + state.running >= places {
            let retry_after_ms = state.pace.retry_after_ms(since);
            return Err(Refused::Full { retry_after_ms });
        }
        state.waiting.push_back(Entry { input, observer, stop: stop.clone(), since });
        self.shared.report(&state);
        self.shared.wake.notify_all();
        Ok(TextTicket { stop, budget: Arc::downgrade(&self.shared.budget) })
    }

    /// Loads the model as soon as the thread has nothing else to do.
    pub fn preload(&self) {
        let mut state = locked(&self.shared.state);
        if state.load != LoadState::Loaded {
            state.load = LoadState::Awaited;
        }
        self.shared.wake.notify_all();
    }

    /// How it is doing.
    pub fn status(&self) -> LaneStatus {
        let state = locked(&self.shared.state);
        LaneStatus {
            load: state.load.clone(),
            waiting: state.waiting.len(),
            is_running: state.running > 0,
        }
    }

    /// Requests that run now.
    pub fn running(&self) -> usize {
        locked(&self.shared.state).running
    }

    /// Takes nothing new and hands back what waits; what runs goes on.
    pub fn close(&self) {
        let mut state = locked(&self.shared.state);
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        self.shared.report(&state);
        drop(state);
        for entry in waiting {
            self.shared.end(entry.observer, Err(Failure::draining()));
        }
    }

    /// Stops what runs after its current step, because the node will not wait longer.
    pub fn stop_running(&self) {
        locked(&self.shared.state).must_stop = true;
        self.shared.wake.notify_all();
        self.shared.budget.wake();
    }
}

impl Drop for TextLane {
    fn drop(&mut self) {
        locked(&self.shared.state).is_dropped = true;
        self.shared.wake.notify_all();
        self.shared.budget.wake();
    }
}

impl Shared {
    pub(super) fn report(&self, state: &State) {
        self.metrics.set_queue(&self.settings.model, state.waiting.len(), state.running);
    }

    pub(super) fn end(&self, observer: Box<dyn TextObserver>, outcome: Result<TextUsage, Failure>) {
        let name = if outcome.is_ok() { "completed" } else { "failed" };
        self.metrics.job_ended(&self.settings.model, name);
        observer.ended(outcome);
    }

    /// Takes those out of the queue that nobody wants any more.
    pub(super) fn drop_cancelled(&self, state: &mut State) {
        let before = state.waiting.len();
        state.waiting.retain(|entry| entry.stop.reason().is_none());
        for _ in state.waiting.len()..before {
            self.metrics.job_ended(&self.settings.model, "cancelled");
        }
    }
}

impl Tenant for Shared {
    fn name(&self) -> &str {
        &self.settings.model
    }

    fn is_idle(&self) -> bool {
        let state = locked(&self.state);
        state.running == 0 && state.waiting.is_empty()
    }

    fn ask_to_leave(&self) {
        locked(&self.state).must_unload = true;
        self.wake.notify_all();
    }
}
