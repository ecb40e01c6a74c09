//! A lane's thread: loads the model when it is first needed, runs one job at a time, outlives an engine's panic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    time::Instant,
};

use super::{
    budget::NoRoom,
    job::{Failure, Outcome, first_line},
    lane::{LoadEngine, LoadState, Shared},
    loading::catch,
    locked,
    pass::{OnlyRun, Pass, Run, apart, stopped},
    queue::Entry,
    stop::StopFlag,
};
use crate::engines::{Engine, EngineError, Members};

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
            self.shared.log_failure(run.id, outcome);
        }
        self.shared.budget.touch(&self.shared.settings.model);
        self.shared.budget.give_back(&self.shared.settings.model);
        let mut state = locked(&self.shared.state);
        state.queue.finish(Instant::now());
        self.shared.report(&state);
        drop(state);
        for (run, outcome) in ended {
            self.shared.end(&*run.observer, outcome);
        }
    }

    /// The model is loaded: runs the job, and those behind it that fit into the same pass. Gives the ends that were not
    /// told before the pass was over.
    fn run_with_followers(&mut self, first: Entry<E>) -> Vec<(Run<E>, Outcome<E::Output>)> {
        let mut entries = vec![first];
        let began = self.begin(&mut entries);
        let (inputs, runs) = apart(entries);
        runs.iter().for_each(|run| run.observer.started());
        let shared = self.shared.clone();
        let mut pass = Pass::new(&shared, &runs, began);
        self.call_engine(inputs, &mut pass);
        let took = began.elapsed();
        if pass.is_complete() {
            let weight = runs.iter().map(|run| run.weight).sum();
            locked(&shared.state).queue.history.add_run(weight, took);
            shared.metrics.observe_run(&shared.settings.model, took);
        }
        let mut open_ends = pass.open_ends();
        let mut outcome = |place| {
            let index = open_ends.iter().position(|(other, _)| *other == place)?;
            Some(open_ends.swap_remove(index).1)
        };
        runs.into_iter()
            .enumerate()
            .filter_map(|(place, run)| Some((run, outcome(place)?)))
            .collect()
    }

    /// Adds those who wait next and may run in the same pass, as far as there is memory for them; from now on all of
    /// them run.
    fn begin(&mut self, entries: &mut Vec<Entry<E>>) -> Instant {
        let room = self.room_to_join(entries);
        let mut state = locked(&self.shared.state);
        if let Some(engine) = &self.engine {
            loop {
                let together = inputs_of(entries);
                let Some(next) = state.queue.take_if(|next| {
                    let with_next = [&*together, &[next]].concat();
                    engine.joins(&together, next) && engine.pass_bytes(&with_next) <= room
                }) else {
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

    /// Memory for a pass of these and of all that could join them, or what there is of it. It is borrowed without the
    /// lane's lock: the budget asks lanes how they are with its own lock held.
    fn room_to_join(&self, entries: &[Entry<E>]) -> u64 {
        let Some(engine) = &self.engine else { return 0 };
        let mut together = inputs_of(entries);
        let state = locked(&self.shared.state);
        for next in state.queue.waiting_inputs() {
            if !engine.joins(&together, next) {
                break;
            }
            together.push(next);
        }
        let wanted = engine.pass_bytes(&together);
        drop(together);
        drop(state);
        self.shared.budget.borrow(&self.shared.settings.model, wanted)
    }

    fn prepare(&mut self, stop: &StopFlag) -> Result<(), Outcome<E::Output>> {
        let loaded = self.ensure_loaded(stop);
        match stop.reason() {
            Some(reason) => Err(stopped(reason)),
            None => loaded.map_err(Outcome::Failed),
        }
    }

    fn call_engine(&mut self, mut inputs: Vec<E::Input>, pass: &mut Pass<'_, E>) {
        let Some(engine) = &mut self.engine else { return };
        // The engine is thrown away after a panic, so whatever it left half-done is never seen.
        let called = catch_unwind(AssertUnwindSafe(|| match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => {
                let result = engine.run(input, &mut OnlyRun(&mut *pass));
                pass.ended(0, result);
            }
            (last, _) => {
                inputs.extend(last);
                engine.run_together(inputs, pass);
            }
        }));
        if called.is_err() {
            self.unload();
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

fn inputs_of<E: Engine>(entries: &[Entry<E>]) -> Vec<&E::Input> {
    entries.iter().map(|entry| &entry.job.input).collect()
}
