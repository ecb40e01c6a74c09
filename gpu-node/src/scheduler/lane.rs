//! A lane: a bounded queue and the one named thread that owns a model's engine.
//!
//! This side is called by everyone else; the thread's own side is `worker.rs`.

use std::{
    io,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Instant,
};

use shared::ids::JobId;

use super::{
    budget::{MemoryBudget, Tenant},
    job::{Failure, LaneJob, Observer, Outcome, Place, Refused},
    loading::LoadModel,
    locked,
    metrics::Metrics,
    queue::Queue,
    stay::Stay,
    stop::StopReason,
    worker::Worker,
};
use crate::engines::Engine;

/// Jobs of a lane that somebody else waits for.
const STAY_JOBS: u32 = 8;

/// What brings the model into memory.
pub type LoadEngine<E> = Box<dyn LoadModel<E>>;

/// What a lane must know about its model and its limits.
#[derive(Debug, Clone)]
pub struct LaneSettings {
    /// The model's name; also the thread's.
    pub model: String,
    /// Jobs that may wait while one runs.
    pub capacity: usize,
    /// What the loaded model takes from the budget.
    pub memory_bytes: u64,
}

/// Whether the model is in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadState {
    NotLoaded,
    /// Asked for at start, and not there yet.
    Awaited,
    Loaded,
    /// The last attempt failed; the next job tries again.
    Failed(String),
    /// That, and it is asked for again.
    AwaitedAgain(String),
}

impl LoadState {
    /// With the model asked for.
    pub(super) fn asked(&self) -> Self {
        match self {
            Self::Failed(detail) | Self::AwaitedAgain(detail) => Self::AwaitedAgain(detail.clone()),
            _ => Self::Awaited,
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Self::Awaited | Self::AwaitedAgain(_))
    }
}

/// A lane at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    pub load: LoadState,
    pub waiting: usize,
    pub is_running: bool,
}

/// One model's queue and thread; dropping it ends the thread after its current job.
pub struct Lane<E: Engine> {
    shared: Arc<Shared<E>>,
}

pub(super) struct State<E: Engine> {
    pub(super) queue: Queue<E>,
    pub(super) load: LoadState,
    pub(super) stay: Stay,
    pub(super) is_dropped: bool,
}

/// What the lane's callers and its thread have in common.
pub(super) struct Shared<E: Engine> {
    pub(super) settings: LaneSettings,
    pub(super) state: Mutex<State<E>>,
    pub(super) wake: Condvar,
    pub(super) budget: Arc<MemoryBudget>,
    pub(super) metrics: Arc<Metrics>,
}

impl<E> Lane<E>
where
    E: Engine + 'static,
    E::Input: Send,
{
    /// Starts the thread; the model stays where it is until it is needed.
    pub fn start(
        settings: LaneSettings,
        load: LoadEngine<E>,
        budget: Arc<MemoryBudget>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        metrics.set_queue(&settings.model, 0, 0);
        metrics.set_loaded(&settings.model, false);
        let state = State {
            queue: Queue::new(settings.capacity),
            load: LoadState::NotLoaded,
            stay: Stay::new(STAY_JOBS),
            is_dropped: false,
        };
        let name = format!("lane {}", settings.model);
        let shared = Arc::new(Shared {
            settings,
            state: Mutex::new(state),
            wake: Condvar::new(),
            budget,
            metrics,
        });
        let worker = Worker::new(shared.clone(), load);
        thread::Builder::new().name(name).spawn(move || worker.work())?;
        Ok(Self { shared })
    }

    /// Jobs that may wait while one runs.
    pub fn capacity(&self) -> usize {
        self.shared.settings.capacity
    }

    /// Takes the job in or refuses it, without waiting.
    pub fn submit(&self, job: LaneJob<E>) -> Result<(), Refused> {
        let mut state = locked(&self.shared.state);
        state.queue.admit(job, Instant::now())?;
        self.shared.report(&state);
        self.shared.wake.notify_all();
        Ok(())
    }

    /// A waiting job leaves at once, a running one at its next `emit`, also out of a pass that others are in; one that
    /// ended is left alone.
    pub fn cancel(&self, id: JobId) {
        let mut state = locked(&self.shared.state);
        let running = state.queue.running_flag(id);
        running.iter().for_each(|flag| flag.raise(StopReason::Cancelled));
        let removed = state.queue.remove(id, Instant::now());
        self.shared.report(&state);
        drop(state);
        if running.is_some() {
            self.shared.budget.wake();
        }
        if let Some(entry) = removed {
            self.shared.end(&*entry.job.observer, Outcome::Cancelled);
        }
    }

    /// Where the job stands; `None` when it neither waits nor runs here.
    pub fn place(&self, id: JobId) -> Option<Place> {
        locked(&self.shared.state).queue.place(id, Instant::now())
    }

    /// Loads the model as soon as the thread has nothing else to do.
    pub fn preload(&self) {
        let mut state = locked(&self.shared.state);
        if !state.queue.is_loaded {
            state.load = state.load.asked();
        }
        self.shared.wake.notify_all();
    }

    /// How it is doing.
    pub fn status(&self) -> LaneStatus {
        let state = locked(&self.shared.state);
        LaneStatus {
            load: state.load.clone(),
            waiting: state.queue.waiting_count(),
            is_running: state.queue.is_running(),
        }
    }

    /// Takes nothing new and hands back what waits; what runs goes on.
    pub fn close(&self) {
        let mut state = locked(&self.shared.state);
        let waiting = state.queue.close();
        self.shared.report(&state);
        drop(state);
        for entry in waiting {
            self.shared.end(&*entry.job.observer, Outcome::Failed(Failure::draining()));
        }
    }

    /// Stops what runs at its next `emit`, because the node will not wait longer.
    pub fn stop_running(&self) {
        locked(&self.shared.state).queue.stop_running(StopReason::Draining);
        self.shared.budget.wake();
    }
}

impl<E: Engine> Drop for Lane<E> {
    fn drop(&mut self) {
        let mut state = locked(&self.shared.state);
        state.is_dropped = true;
        state.queue.stop_running(StopReason::Draining);
        drop(state);
        self.shared.wake.notify_all();
        self.shared.budget.wake();
    }
}

impl<E: Engine> Shared<E> {
    pub(super) fn report(&self, state: &State<E>) {
        let queue = &state.queue;
        self.metrics.set_queue(
            &self.settings.model,
            queue.waiting_count(),
            queue.is_running().into(),
        );
    }

    pub(super) fn log_failure(&self, id: JobId, outcome: &Outcome<E::Output>) {
        let Outcome::Failed(Failure { code, detail, .. }) = outcome else { return };
        // What is wrong with an input may quote it, and prompts are not logged.
        let detail =
            if matches!(*code, "invalid_input" | "context_too_long") { "" } else { detail };
        let model = &self.settings.model;
        tracing::warn!(%model, job_id = %id, code, detail, "job failed");
    }

    pub(super) fn end(&self, observer: &dyn Observer<E>, outcome: Outcome<E::Output>) {
        self.metrics.job_ended(&self.settings.model, outcome.name());
        observer.ended(outcome);
    }
}

impl<E: Engine> Tenant for Shared<E>
where
    E::Input: Send,
{
    fn name(&self) -> &str {
        &self.settings.model
    }

    fn is_idle(&self) -> bool {
        let state = locked(&self.state);
        !state.queue.is_running() && state.queue.waiting_count() == 0
    }

    fn ask_to_leave(&self) {
        locked(&self.state).stay.ask_to_leave(Instant::now());
        self.wake.notify_all();
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
