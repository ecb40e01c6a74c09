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
    loading::catch,
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
            let now = Instant::now();
            if state.stay.is_over(now, state.queue.waiting_count() > 0) {
                return Some(Task::Unload);
            }
            if let Some(entry) = state.queue.take(now) {
                self.shared.report(&state);
                return Some(Task::Run(entry));
            }
            if state.load.is_asked() {
                return Some(Task::Load);
            }
            state = self.shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&mut self, first: Entry<E>) {
        let ended = match self.prepare(&first.stop) {
            Ok(()) => self.run_with_followers(first),
            Err(outcome) => {
                let (_, runs) = apart(vec![first]);
                runs.into_iter().zip([outcome]).collect()
            }
        };
        for (run, outcome) in &ended {
            self.log_failure(run.id, outcome);
        }
        self.shared.budget.touch(&self.shared.settings.model);
        let mut state = locked(&self.shared.state);
        state.queue.finish(Instant::now());
        self.shared.report(&state);
        drop(state);
        for (run, outcome) in ended {
            self.shared.end(&*run.observer, outcome);
        }
    }

    /// The model is loaded: runs the job, and those behind it that fit into the same pass.
    fn run_with_followers(&mut self, first: Entry<E>) -> Vec<(Run<E>, Outcome<E::Output>)> {
        let mut entries = vec![first];
        let began = self.begin(&mut entries);
        let (inputs, runs) = apart(entries);
        runs.iter().for_each(|run| run.observer.started());
        let results = self.call_engine(inputs, &runs);
        let took = began.elapsed();
        if results.iter().all(Result::is_ok) {
            let weight = runs.iter().map(|run| run.weight).sum();
            locked(&self.shared.state).queue.history.add_run(weight, took);
            self.shared.metrics.observe_run(&self.shared.settings.model, took);
        }
        let outcome = |run: &Run<E>, result: Ended<E>| match result {
            Ok(output) => Outcome::Completed {
                output,
                queued_ms: (began - run.since).as_millis() as u64,
                run_ms: took.as_millis() as u64,
            },
            Err(outcome) => outcome,
        };
        let ended = runs.into_iter().zip(results);
        ended
            .map(|(run, result)| {
                let outcome = outcome(&run, result);
                (run, outcome)
            })
            .collect()
    }

    /// Adds those who wait next and may run in the same pass; from now on all of them run.
    fn begin(&self, entries: &mut Vec<Entry<E>>) -> Instant {
        let mut state = locked(&self.shared.state);
        if let Some(engine) = &self.engine {
            loop {
                let together: Vec<&E::Input> = entries.iter().map(|e| &e.job.input).collect();
                let Some(next) = state.queue.take_if(|next| engine.joins(&together, next)) else {
                    break;
                };
                entries.push(next);
            }
        }
        state.stay.note_jobs(entries.len());
        let now = Instant::now();
        state.queue.begin(now);
        self.shared.report(&state);
        now
    }

    fn log_failure(&self, id: JobId, outcome: &Outcome<E::Output>) {
        let Outcome::Failed(Failure { code, detail, .. }) = outcome else { return };
        // What is wrong with an input may quote it, and prompts are not logged.
        let detail =
            if matches!(*code, "invalid_input" | "context_too_long") { "" } else { detail };
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

    fn call_engine(&mut self, mut inputs: Vec<E::Input>, runs: &[Run<E>]) -> Vec<Ended<E>> {
        let panicked = || runs.iter().map(|_| Err(Outcome::Failed(Failure::panicked()))).collect();
        let Some(engine) = &mut self.engine else { return panicked() };
        let sink = |run| LaneSink::<E> { run };
        // The engine is thrown away after a panic, so whatever it left half-done is never seen.
        let called = catch_unwind(AssertUnwindSafe(|| match (inputs.pop(), runs) {
            (Some(input), [run]) => vec![engine.run(input, &mut sink(run))],
            (last, runs) => {
                inputs.extend(last);
                let mut sinks: Vec<LaneSink<'_, E>> = runs.iter().map(sink).collect();
                let mut sinks: Vec<&mut dyn Sink<E::Event>> =
                    sinks.iter_mut().map(|sink| sink as &mut dyn Sink<E::Event>).collect();
                engine.run_together(inputs, &mut sinks)
            }
        }));
        let results = match called {
            Ok(results) if results.len() == runs.len() => results,
            _ => {
                self.unload();
                return panicked();
            }
        };
        results.into_iter().zip(runs).map(|(result, run)| judged(result, &run.stop)).collect()
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
                state.stay.note_loaded(Instant::now(), took);
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
                self.release();
                locked(&shared.state).load = LoadState::Failed(first_line(&error));
                tracing::error!(model = %settings.model, %error, "model not loaded");
                Err(Failure::not_loaded(&settings.model, &error))
            }
        }
    }

    /// `None` when nobody wants the model any more.
    fn load_within_budget(&mut self, stop: &StopFlag) -> Result<Option<E>, EngineError> {
        let shared = self.shared.clone();
        let bytes = shared.settings.memory_bytes;
        let is_wanted = || stop.reason().is_none() && !locked(&shared.state).is_dropped;
        // Before the budget: nobody gives memory up for a model that is still on its way.
        match catch(|| self.load.fetch(&is_wanted)) {
            Err(EngineError::Cancelled) => return Ok(None),
            fetched => fetched?,
        }
        match shared.budget.reserve(shared.clone(), bytes, &is_wanted) {
            Ok(()) => {}
            Err(NoRoom::Unwanted) => return Ok(None),
            Err(NoRoom::TooLarge { limit_bytes }) => {
                return Err(EngineError::OutOfMemory(format!(
                    "it takes {bytes} bytes and this node may use {limit_bytes} (MEMORY_BUDGET_MB)"
                )));
            }
        }
        match catch(|| self.load.load()) {
            Err(EngineError::OutOfMemory(_))
                if shared.budget.make_room(&shared.settings.model, &is_wanted) =>
            {
                catch(|| self.load.load()).map(Some)
            }
            loaded => loaded.map(Some),
        }
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
        self.release();
    }

    fn release(&self) {
        self.shared.budget.release(&self.shared.settings.model);
        // Without its room it cannot be asked for it.
        locked(&self.shared.state).stay.note_left();
    }
}

fn stopped<O>(reason: StopReason) -> Outcome<O> {
    match reason {
        StopReason::Cancelled => Outcome::Cancelled,
        StopReason::Draining => Outcome::Failed(Failure::draining()),
    }
}

/// What is left of a job once its input is with the engine.
struct Run<E: Engine> {
    id: JobId,
    weight: f64,
    observer: Arc<dyn Observer<E>>,
    stop: Arc<StopFlag>,
    since: Instant,
}

/// What became of a run: its result, or how it ended without.
type Ended<E> = Result<<E as Engine>::Output, Outcome<<E as Engine>::Output>>;

fn apart<E: Engine>(entries: Vec<Entry<E>>) -> (Vec<E::Input>, Vec<Run<E>>) {
    let split = |Entry { job, stop, since }| {
        let LaneJob { id, input, weight, observer } = job;
        (input, Run { id, weight, observer, stop, since })
    };
    entries.into_iter().map(split).unzip()
}

fn judged<O>(result: Result<O, EngineError>, stop: &StopFlag) -> Result<O, Outcome<O>> {
    match (result, stop.reason()) {
        (_, Some(StopReason::Cancelled)) => Err(Outcome::Cancelled),
        (Ok(output), _) => Ok(output),
        (Err(_), Some(reason)) => Err(stopped(reason)),
        (Err(error), None) => Err(Outcome::Failed(error.into())),
    }
}

struct LaneSink<'a, E: Engine> {
    run: &'a Run<E>,
}

impl<E: Engine> Sink<E::Event> for LaneSink<'_, E> {
    fn emit(&mut self, event: E::Event) -> Result<(), Stopped> {
        if self.run.stop.reason().is_some() {
            return Err(Stopped);
        }
        self.run.observer.emitted(event);
        Ok(())
    }
}
