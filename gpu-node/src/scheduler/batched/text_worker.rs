//! A text lane's thread: loads the model when it is first needed, then lets requests in between two steps.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{
    door::{Door, Task, Waiting},
    text::{LoadText, TextObserver, TextOrder},
};
use crate::{
    engines::{
        EngineError,
        text::{
            batching::{Batch, BatchSettings, News, RequestId},
            request::{TextEvent, TextUsage},
        },
    },
    scheduler::{Failure, LoadModel, job::first_line, loading::catch, stop::StopFlag},
};

pub(super) struct TextWorker {
    door: Arc<Door<TextOrder>>,
    load: LoadText,
    settings: BatchSettings,
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

impl TextWorker {
    pub(super) fn new(door: Arc<Door<TextOrder>>, load: LoadText, settings: BatchSettings) -> Self {
        Self { door, load, settings, batch: None, running: HashMap::new(), last_id: 0 }
    }

    /// Serves the lane until it is dropped.
    pub(super) fn work(mut self) {
        while let Some(task) = self.next_task() {
            match task {
                Task::Load => self.ensure_loaded(),
                Task::Unload => self.door.unload(self.batch.take()),
                Task::Stop => self.fail_running(&Failure::draining()),
                Task::LetIn(waiting) => self.let_in(waiting),
                Task::GoOn => self.step(),
            }
        }
        self.fail_running(&Failure::draining());
        self.door.unload(self.batch.take());
    }

    fn next_task(&self) -> Option<Task<TextOrder>> {
        let is_busy = (self.batch.is_some(), !self.running.is_empty());
        self.door.next_task(is_busy, |order| {
            self.batch.as_ref().is_some_and(|batch| batch.has_place(order.input.choices))
        })
    }

    fn ensure_loaded(&mut self) {
        if self.batch.is_none() {
            let Self { load, settings, .. } = self;
            self.batch = self.door.load(&mut Batched { load, settings });
        } else {
            self.door.note_loaded();
        }
    }

    fn let_in(&mut self, waiting: Waiting<TextOrder>) {
        let Waiting { order: TextOrder { input, observer }, stop, since } = waiting;
        let Some(batch) = &mut self.batch else { return };
        self.last_id += 1;
        let id = RequestId(self.last_id);
        let began = Instant::now();
        let running = Running { observer, stop, since, began, has_first_token: false };
        self.running.insert(id, running);
        if let Err(error) = batch.admit(id, input) {
            self.end(id, Err(error.into()));
            self.door.set_running(self.running.len());
        }
    }

    fn step(&mut self) {
        let Some(batch) = &mut self.batch else { return };
        let (metrics, model) = (&self.door.metrics, self.door.model());
        let is_stopped = |running: &Running| running.stop.reason().is_some();
        for (id, _) in self.running.extract_if(|_, running| is_stopped(running)) {
            batch.remove(id);
            metrics.job_ended(model, "cancelled");
        }
        let began = Instant::now();
        let step = batch.step();
        if step.figures.sequences > 0 {
            metrics.observe_step(model, began.elapsed(), &step.figures);
        }
        metrics.set_batch(model, batch.sequences(), batch.used_blocks());
        for event in step.events {
            match event.news {
                News::Emitted(said) => self.tell(event.request, said),
                News::Completed(usage) => self.end(event.request, Ok(usage)),
                News::Failed(error) => self.end_failed(event.request, error),
            }
        }
        if step.is_broken {
            self.mend();
        }
        self.door.set_running(self.running.len());
    }

    fn tell(&mut self, id: RequestId, said: TextEvent) {
        let Some(running) = self.running.get_mut(&id) else { return };
        if !running.has_first_token && matches!(said, TextEvent::Piece { .. }) {
            running.has_first_token = true;
            let waited = running.since.elapsed();
            self.door.metrics.observe_first_token(self.door.model(), waited);
        }
        running.observer.emitted(said);
    }

    fn end_failed(&mut self, id: RequestId, error: EngineError) {
        // What is wrong with an input may quote it, and prompts are not logged.
        if !matches!(error, EngineError::InvalidInput(_)) {
            let model = self.door.model();
            tracing::warn!(%model, detail = first_line(&error), "request failed");
        }
        self.end(id, Err(error.into()));
    }

    fn end(&mut self, id: RequestId, outcome: Result<TextUsage, Failure>) {
        let Some(running) = self.running.remove(&id) else { return };
        let (metrics, model) = (&self.door.metrics, self.door.model());
        metrics.observe_run(model, running.began.elapsed());
        metrics.job_ended(model, if outcome.is_ok() { "completed" } else { "failed" });
        running.observer.ended(outcome);
    }

    fn fail_running(&mut self, failure: &Failure) {
        let ids: Vec<RequestId> = self.running.keys().copied().collect();
        for id in ids {
            if let Some(batch) = &mut self.batch {
                batch.remove(id);
            }
            self.end(id, Err(failure.clone()));
        }
        self.door.set_running(0);
    }

    /// A model that broke is loaded afresh; who was not in its last pass goes on.
    fn mend(&mut self) {
        let load = &mut self.load;
        let outcome = catch(|| load.load()).and_then(|loaded| match &mut self.batch {
            Some(batch) => batch.replace_model(loaded.model),
            None => Ok(()),
        });
        if let Err(error) = outcome {
            self.fail_running(&Failure::not_loaded(self.door.model(), &error));
            self.door.unload(self.batch.take());
            self.door.note_broken(&error);
        }
    }
}

/// A model with its cache.
struct Batched<'a> {
    load: &'a mut LoadText,
    settings: &'a BatchSettings,
}

impl LoadModel<Batch> for Batched<'_> {
    fn fetch(&mut self, is_wanted: &(dyn Fn() -> bool + Sync)) -> Result<(), EngineError> {
        self.load.fetch(is_wanted)
    }

    fn load(&mut self) -> Result<Batch, EngineError> {
        Batch::new(self.load.load()?, self.settings.clone())
    }
}
