//! A text lane's thread: loads the model when it is first needed, then lets requests in between two steps.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    time::Instant,
};

use super::lane::{Entry, LoadText, Shared, State, TextObserver};
use crate::{
    engines::{
        EngineError,
        text::{
            batching::{Batch, LoadedText, News, RequestId},
            request::{TextEvent, TextUsage},
        },
    },
    scheduler::{Failure, LoadState, budget::NoRoom, job::first_line, locked, stop::StopFlag},
};

pub(super) struct Worker {
    shared: Arc<Shared>,
    load: LoadText,
    batch: Option<Batch>,
    running: HashMap<RequestId, Running>,
    last_id: u64,
}

struct Running {
    observer: Box<dyn TextObserver>,
    stop: Arc<StopFlag>,
    since: Instant,
    began: Instant,
    has_first_token: bool,
}

enum Task {
    Load,
    Unload,
    /// Who runs has to end now.
    Stop,
    LetIn(Entry),
    Step,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, load: LoadText) -> Self {
        Self { shared, load, batch: None, running: HashMap::new(), last_id: 0 }
    }

    /// Serves the lane until it is dropped.
    pub(super) fn work(mut self) {
        while let Some(task) = self.next_task() {
            match task {
                // A failure is in the lane's state, where readiness sees it, and ends who waits.
                Task::Load => self.load_for_waiting(),
                Task::Unload => self.unload(),
                Task::Stop => self.fail_running(&Failure::draining()),
                Task::LetIn(entry) => self.let_in(entry),
                Task::Step => self.step(),
            }
        }
        self.fail_running(&Failure::draining());
        self.unload();
    }

    fn next_task(&mut self) -> Option<Task> {
        let shared = self.shared.clone();
        let mut state = locked(&shared.state);
        loop {
            if state.is_dropped {
                let waiting = std::mem::take(&mut state.waiting);
                drop(state);
                for entry in waiting {
                    shared.end(entry.observer, Err(Failure::draining()));
                }
                return None;
            }
            shared.drop_cancelled(&mut state);
            let runs = !self.running.is_empty();
            if state.must_stop && runs {
                return Some(Task::Stop);
            }
            if state.must_unload && !runs {
                state.must_unload = false;
                return Some(Task::Unload);
            }
            if state.load == LoadState::Awaited
                || (self.batch.is_none() && !state.waiting.is_empty())
            {
                return Some(Task::Load);
            }
            // A lane that is to leave lets nobody in, so that it can.
            if !state.must_unload
                && let Some(entry) = self.take_first(&mut state)
            {
                return Some(Task::LetIn(entry));
            }
            if runs {
                return Some(Task::Step);
            }
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The first of the queue, when there is a place for it.
    fn take_first(&self, state: &mut State) -> Option<Entry> {
        let batch = self.batch.as_ref()?;
        let entry = state.waiting.pop_front_if(|entry| batch.has_place(entry.input.choices))?;
        state.pace.note_taken(Instant::now());
        state.running = self.running.len() + 1;
        self.shared.report(state);
        Some(entry)
    }

    fn let_in(&mut self, entry: Entry) {
        let Entry { input, observer, stop, since } = entry;
        let Some(batch) = &mut self.batch else { return };
        self.last_id += 1;
        let id = RequestId(self.last_id);
        let running =
            Running { observer, stop, since, began: Instant::now(), has_first_token: false };
        self.running.insert(id, running);
        if let Err(error) = batch.admit(id, input) {
            self.end(id, Err(error.into()));
            self.note_running();
        }
    }

    fn step(&mut self) {
        let Some(batch) = &mut self.batch else { return };
        let stopped = |running: &Running| running.stop.reason().is_some();
        for (id, running) in self.running.extract_if(|_, running| stopped(running)) {
            batch.remove(id);
            drop(running);
            self.shared.metrics.job_ended(&self.shared.settings.model, "cancelled");
        }
        let began = Instant::now();
        let step = batch.step();
        let (metrics, model) = (&self.shared.metrics, &self.shared.settings.model);
        if step.figures.sequences > 0 {
            metrics.observe_step(model, began.elapsed(), &step.figures);
        }
        let (sequences, blocks) = (batch.sequences(), batch.used_blocks());
        metrics.set_batch(model, sequences, blocks);
        for event in step.events {
            match event.news {
                News::Emitted(said) => self.tell(event.request, said),
                News::Completed(usage) => self.end(event.request, Ok(usage)),
                News::Failed(error) => {
                    // What is wrong with an input may quote it, and prompts are not logged.
                    if !matches!(error, EngineError::InvalidInput(_)) {
                        let model = &self.shared.settings.model;
                        tracing::warn!(%model, detail = first_line(&error), "request failed");
                    }
                    self.end(event.request, Err(error.into()));
                }
            }
        }
        if step.is_broken {
            self.mend();
        }
        self.note_running();
    }

    fn tell(&mut self, id: RequestId, said: TextEvent) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let is_first = !running.has_first_token && matches!(said, TextEvent::Piece { .. });
        if is_first {
            running.has_first_token = true;
            let model = &self.shared.settings.model;
            self.shared.metrics.observe_first_token(model, running.since.elapsed());
        }
        running.observer.emitted(said);
    }

    fn end(&mut self, id: RequestId, outcome: Result<TextUsage, Failure>) {
        if let Some(running) = self.running.remove(&id) {
            let model = &self.shared.settings.model;
            self.shared.metrics.observe_run(model, running.began.elapsed());
            self.shared.end(running.observer, outcome);
        }
    }

    fn note_running(&self) {
        let mut state = locked(&self.shared.state);
        if state.running != self.running.len() {
            state.running = self.running.len();
            self.shared.report(&state);
            drop(state);
            self.shared.budget.touch(&self.shared.settings.model);
        }
    }

    fn fail_running(&mut self, failure: &Failure) {
        for (id, running) in self.running.drain() {
            if let Some(batch) = &mut self.batch {
                batch.remove(id);
            }
            self.shared.end(running.observer, Err(failure.clone()));
        }
        self.note_running();
    }

    /// A model that broke is loaded afresh; who was not in its last pass goes on.
    fn mend(&mut self) {
        let outcome = self.call_load().and_then(|loaded| match &mut self.batch {
            Some(batch) => batch.replace_model(loaded.model),
            None => Ok(()),
        });
        if let Err(error) = outcome {
            let failure = Failure::not_loaded(&self.shared.settings.model, &error);
            self.fail_running(&failure);
            self.unload();
            locked(&self.shared.state).load = LoadState::Failed(first_line(&error));
        }
    }

    fn load_for_waiting(&mut self) {
        let shared = self.shared.clone();
        let Err(failure) = self.ensure_loaded() else { return };
        let waiting = std::mem::take(&mut locked(&shared.state).waiting);
        shared.report(&locked(&shared.state));
        for entry in waiting {
            shared.end(entry.observer, Err(failure.clone()));
        }
    }

    fn ensure_loaded(&mut self) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let settings = &shared.settings;
        let began = Instant::now();
        if self.batch.is_none() {
            match self.load_within_budget() {
                Ok(Some(batch)) => self.batch = Some(batch),
                Ok(None) => {
                    locked(&shared.state).load = LoadState::NotLoaded;
                    return Ok(());
                }
                Err(error) => {
                    shared.budget.release(&settings.model);
                    locked(&shared.state).load = LoadState::Failed(first_line(&error));
                    tracing::error!(model = %settings.model, %error, "model not loaded");
                    return Err(Failure::not_loaded(&settings.model, &error));
                }
            }
            let took = began.elapsed();
            shared.metrics.set_loaded(&settings.model, true);
            shared.metrics.observe_load(&settings.model, took);
            let load_ms = took.as_millis() as u64;
            tracing::info!(model = %settings.model, load_ms, "model loaded");
        }
        locked(&shared.state).load = LoadState::Loaded;
        Ok(())
    }

    /// `None` when nobody wants the model any more.
    fn load_within_budget(&mut self) -> Result<Option<Batch>, EngineError> {
        let shared = self.shared.clone();
        let settings = &shared.settings;
        let bytes = settings.memory_bytes.saturating_add(settings.batch.cache_bytes);
        let is_wanted = || {
            let state = locked(&shared.state);
            let is_waiting = state.waiting.iter().any(|entry| entry.stop.reason().is_none());
            !state.is_dropped && (is_waiting || state.load == LoadState::Awaited)
        };
        match shared.budget.reserve(shared.clone(), bytes, &is_wanted) {
            Ok(()) => {}
            Err(NoRoom::Unwanted) => return Ok(None),
            Err(NoRoom::TooLarge { limit_bytes }) => {
                return Err(EngineError::OutOfMemory(format!(
                    "it takes {bytes} bytes and this node may use {limit_bytes}"
                )));
            }
        }
        Batch::new(self.call_load()?, settings.batch.clone()).map(Some)
    }

    fn call_load(&mut self) -> Result<LoadedText, EngineError> {
        catch_unwind(AssertUnwindSafe(&mut self.load))
            .unwrap_or_else(|_| Err(EngineError::Failed("loading stopped unexpectedly".to_owned())))
    }

    fn unload(&mut self) {
        let settings = &self.shared.settings;
        if let Some(batch) = self.batch.take() {
            // A model that panicked may do so again on its way out.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(batch)));
            locked(&self.shared.state).load = LoadState::NotLoaded;
            self.shared.metrics.set_loaded(&settings.model, false);
            tracing::info!(model = %settings.model, "model unloaded");
        }
        self.shared.budget.release(&settings.model);
    }
}
