//! A lane's thread: loads the model when it is first needed, runs one job at a time, outlives an engine's panic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    time::Instant,
};

use shared::ids::JobId;

use super::{
    budget::NoRoom,
    job::{Failure, LaneJob, Observer, Outcome, first_line},
    lane::{LoadEngine, LoadState, Shared},
    locked,
    queue::Entry,
    stop::{StopFlag, StopReason},
};
use crate::engines::{Engine, EngineError, Sink, Stopped};

pub(super) struct Worker<E: Engine> {
    shared: Arc<Shared<E>>,
    load: LoadEngine<E>,
    engine: Option<E>,
}

enum Task<E: Engine> {
    Load,
    Unload,
    Run(Entry<E>),
}

impl<E> Worker<E>
where
    E: Engine + 'static,
    E::Input: Send,
{
    pub(super) fn new(shared: Arc<Shared<E>>, load: LoadEngine<E>) -> Self {
        Self { shared, load, engine: None }
    }

    /// Serves the lane until it is dropped.
    pub(super) fn work(mut self) {
        while let Some(task) = self.next_task() {
            match task {
                // A failure is in the lane's state, where readiness sees it.
                Task::Load => drop(self.ensure_loaded(&StopFlag::default())),
                Task::Unload => self.unload(),
                Task::Run(entry) => self.run(entry),
            }
        }
        self.unload();
    }

    fn next_task(&self) -> Option<Task<E>> {
        let mut state = locked(&self.shared.state);
        loop {
            if state.is_dropped {
                let waiting = state.queue.close();
                drop(state);
                for entry in waiting {
                    let outcome = Outcome::Failed(Failure::draining());
                    self.shared.end(&*entry.job.observer, outcome);
                }
                return None;
            }
            if std::mem::take(&mut state.must_unload) {
                return Some(Task::Unload);
            }
            if let Some(entry) = state.queue.take(Instant::now()) {
                self.shared.report(&state);
                return Some(Task::Run(entry));
            }
            if state.load == LoadState::Awaited {
                return Some(Task::Load);
            }
            state = self.shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&mut self, entry: Entry<E>) {
        let Entry { job, stop, since } = entry;
        let LaneJob { id, input, weight, observer } = job;
        let outcome = match self.prepare(&stop) {
            Ok(()) => {
                let began = Instant::now();
                locked(&self.shared.state).queue.begin(began);
                observer.started();
                match self.call_engine(input, &*observer, &stop) {
                    Ok(output) => {
                        let took = began.elapsed();
                        locked(&self.shared.state).queue.history.add_run(weight, took);
                        self.shared.metrics.observe_run(&self.shared.settings.model, took);
                        Outcome::Completed {
                            output,
                            queued_ms: (began - since).as_millis() as u64,
                            run_ms: took.as_millis() as u64,
                        }
                    }
                    Err(outcome) => outcome,
                }
            }
            Err(outcome) => outcome,
        };
        self.log_failure(id, &outcome);
        self.shared.budget.touch(&self.shared.settings.model);
        let mut state = locked(&self.shared.state);
        state.queue.finish(Instant::now());
        self.shared.report(&state);
        drop(state);
        self.shared.end(&*observer, outcome);
    }

    fn log_failure(&self, id: JobId, outcome: &Outcome<E::Output>) {
        let Outcome::Failed(Failure { code, detail, is_retryable }) = outcome else { return };
        // What is wrong with an input may quote it, and prompts are not logged.
        let detail = if *is_retryable { detail } else { "" };
        let model = &self.shared.settings.model;
        tracing::warn!(%model, job_id = %id, code, detail, "job failed");
    }

    fn prepare(&mut self, stop: &StopFlag) -> Result<(), Outcome<E::Output>> {
        let loaded = self.ensure_loaded(stop);
        match stop.reason() {
            Some(reason) => Err(stopped(reason)),
            None => loaded.map_err(Outcome::Failed),
        }
    }

    fn call_engine(
        &mut self,
        input: E::Input,
        observer: &dyn Observer<E>,
        stop: &StopFlag,
    ) -> Result<E::Output, Outcome<E::Output>> {
        let Some(engine) = &mut self.engine else {
            return Err(Outcome::Failed(Failure::panicked()));
        };
        let mut sink = LaneSink { observer, stop };
        // The engine is thrown away after a panic, so whatever it left half-done is never seen.
        let Ok(result) = catch_unwind(AssertUnwindSafe(|| engine.run(input, &mut sink))) else {
            self.unload();
            return Err(Outcome::Failed(Failure::panicked()));
        };
        match (result, stop.reason()) {
            (_, Some(StopReason::Cancelled)) => Err(Outcome::Cancelled),
            (Ok(output), _) => Ok(output),
            (Err(_), Some(reason)) => Err(stopped(reason)),
            (Err(error), None) => Err(Outcome::Failed(error.into())),
        }
    }

    fn ensure_loaded(&mut self, stop: &StopFlag) -> Result<(), Failure> {
        if self.engine.is_some() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let settings = &shared.settings;
        let began = Instant::now();
        match self.load_within_budget(stop) {
            Ok(Some(engine)) => {
                let took = began.elapsed();
                self.engine = Some(engine);
                let mut state = locked(&shared.state);
                state.load = LoadState::Loaded;
                state.queue.is_loaded = true;
                state.queue.history.set_load(took);
                drop(state);
                shared.metrics.set_loaded(&settings.model, true);
                shared.metrics.observe_load(&settings.model, took);
                tracing::info!(model = %settings.model, load_ms = took.as_millis() as u64, "model loaded");
                Ok(())
            }
            Ok(None) => {
                locked(&shared.state).load = LoadState::NotLoaded;
                Err(Failure::draining())
            }
            Err(error) => {
                shared.budget.release(&settings.model);
                locked(&shared.state).load = LoadState::Failed(first_line(&error));
                tracing::error!(model = %settings.model, %error, "model not loaded");
                Err(Failure::not_loaded(&settings.model, &error))
            }
        }
    }

    /// `None` when nobody wants the model any more.
    fn load_within_budget(&mut self, stop: &StopFlag) -> Result<Option<E>, EngineError> {
        let shared = &self.shared;
        let bytes = shared.settings.memory_bytes;
        let is_wanted = || stop.reason().is_none() && !locked(&shared.state).is_dropped;
        match shared.budget.reserve(shared.clone(), bytes, &is_wanted) {
            Ok(()) => {}
            Err(NoRoom::Unwanted) => return Ok(None),
            Err(NoRoom::TooLarge { limit_bytes }) => {
                return Err(EngineError::OutOfMemory(format!(
                    "it takes {bytes} bytes and this node may use {limit_bytes}"
                )));
            }
        }
        catch_unwind(AssertUnwindSafe(&mut self.load))
            .unwrap_or_else(|_| Err(EngineError::Failed("loading stopped unexpectedly".to_owned())))
            .map(Some)
    }

    fn unload(&mut self) {
        if let Some(engine) = self.engine.take() {
            // An engine that panicked may do so again on its way out.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
            let mut state = locked(&self.shared.state);
            state.load = LoadState::NotLoaded;
            state.queue.is_loaded = false;
            drop(state);
            self.shared.metrics.set_loaded(&self.shared.settings.model, false);
            tracing::info!(model = %self.shared.settings.model, "model unloaded");
        }
        self.shared.budget.release(&self.shared.settings.model);
    }
}

fn stopped<O>(reason: StopReason) -> Outcome<O> {
    match reason {
        StopReason::Cancelled => Outcome::Cancelled,
        StopReason::Draining => Outcome::Failed(Failure::draining()),
    }
}

struct LaneSink<'a, E: Engine> {
    observer: &'a dyn Observer<E>,
    stop: &'a StopFlag,
}

impl<E: Engine> Sink<E::Event> for LaneSink<'_, E> {
    fn emit(&mut self, event: E::Event) -> Result<(), Stopped> {
        if self.stop.reason().is_some() {
            return Err(Stopped);
        }
        self.observer.emitted(event);
        Ok(())
    }
}
