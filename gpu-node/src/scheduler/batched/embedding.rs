//! An embedding model's lane: texts of many requests are computed together, some thousand tokens at a time.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Instant,
};

use super::door::{Door, Order, Task, Ticket, Waiting};
use crate::{
    engines::{
        Engine, EngineError, Sink, Stopped,
        embeddings::{EmbeddingEngine, EmbeddingInput, EmbeddingProgress, EmbeddingShape},
        text::batching::StepFigures,
    },
    scheduler::{Failure, LaneStatus, LoadModel, MemoryBudget, Metrics, Refused, stop::StopFlag},
};

/// Requests whose texts take turns; the rest can still be cancelled or handed back.
const RUN_TOGETHER: usize = 64;

/// What brings the model into memory.
pub type LoadEmbedding = Box<dyn LoadModel<(EmbeddingEngine, EmbeddingShape)>>;

/// Hears a request's end on the lane's thread: a vector per text, in their order. A cancelled request ends without a word.
pub type EmbeddingAnswer = Box<dyn FnOnce(Result<Vec<Vec<f32>>, Failure>) + Send>;

/// What an embedding lane must know about its model and its limits.
#[derive(Debug, Clone)]
pub struct EmbeddingLaneSettings {
    /// The model's name; also the thread's.
    pub model: String,
    /// Requests that may be here, running and waiting.
    pub capacity: usize,
    /// What the loaded model takes from the budget.
    pub memory_bytes: u64,
    /// Tokens of one pass, unless a single text has more.
    pub batch_tokens: usize,
}

struct EmbeddingOrder {
    input: EmbeddingInput,
    answer: EmbeddingAnswer,
}

impl Order for EmbeddingOrder {
    fn fail(self, failure: Failure) {
        (self.answer)(Err(failure));
    }
}

/// One model's queue and thread; dropping it ends the thread and what runs.
pub struct EmbeddingLane {
    door: Arc<Door<EmbeddingOrder>>,
}

impl EmbeddingLane {
    /// Starts the thread; the model stays where it is until it is needed.
    pub fn start(
        settings: EmbeddingLaneSettings,
        load: LoadEmbedding,
        budget: Arc<MemoryBudget>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let EmbeddingLaneSettings { model, capacity, memory_bytes, batch_tokens } = settings;
        let door = Door::new(&model, capacity.max(1), memory_bytes, (budget, metrics));
        let running = VecDeque::new();
        let worker = Worker { door: door.clone(), load, batch_tokens, loaded: None, running };
        thread::Builder::new().name(format!("lane {model}")).spawn(move || worker.work())?;
        Ok(Self { door })
    }

    /// Takes the request in or refuses it, without waiting.
    pub fn submit(
        &self,
        input: EmbeddingInput,
        answer: EmbeddingAnswer,
    ) -> Result<Ticket, Refused> {
        self.door.submit(EmbeddingOrder { input, answer })
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

    /// Stops what runs after its current pass, because the node will not wait longer.
    pub fn stop_running(&self) {
        self.door.stop_running();
    }
}

impl Drop for EmbeddingLane {
    fn drop(&mut self) {
        self.door.leave();
    }
}

/// A request of which some texts may be done.
struct Running {
    texts: VecDeque<Vec<u32>>,
    dimensions: Option<usize>,
    vectors: Vec<Vec<f32>>,
    answer: EmbeddingAnswer,
    stop: Arc<StopFlag>,
    began: Instant,
}

struct Worker {
    door: Arc<Door<EmbeddingOrder>>,
    load: LoadEmbedding,
    batch_tokens: usize,
    loaded: Option<(EmbeddingEngine, EmbeddingShape)>,
    running: VecDeque<Running>,
}

impl Worker {
    fn work(mut self) {
        while let Some(task) = self.next_task() {
            match task {
                Task::Load if self.loaded.is_some() => self.door.note_loaded(),
                Task::Load => self.loaded = self.door.load(&mut *self.load),
                Task::Unload => self.door.unload(self.loaded.take()),
                Task::Stop => self.fail_all(&Failure::draining()),
                Task::LetIn(waiting) => self.let_in(waiting),
                Task::GoOn => self.pass(),
            }
            self.door.set_running(self.running.len());
        }
        self.fail_all(&Failure::draining());
        self.door.unload(self.loaded.take());
    }

    fn next_task(&self) -> Option<Task<EmbeddingOrder>> {
        let is_busy = (self.loaded.is_some(), !self.running.is_empty());
        self.door.next_task(is_busy, |_| self.running.len() < RUN_TOGETHER)
    }

    fn let_in(&mut self, waiting: Waiting<EmbeddingOrder>) {
        let Waiting { order: EmbeddingOrder { input, answer }, stop, .. } = waiting;
        let Some((_, shape)) = &self.loaded else { return };
        if let Err(error) = check(&input, shape) {
            return self.end(answer, Err(error.into()));
        }
        let EmbeddingInput { texts, dimensions } = input;
        let (texts, vectors) = (VecDeque::from(texts), Vec::new());
        let began = Instant::now();
        self.running.push_back(Running { texts, dimensions, vectors, answer, stop, began });
    }

    fn pass(&mut self) {
        let before = self.running.len();
        self.running.retain(|running| running.stop.reason().is_none());
        for _ in self.running.len()..before {
            self.door.metrics.job_ended(self.door.model(), "cancelled");
        }
        let (owners, input) = self.gather();
        let Some((engine, _)) = &mut self.loaded else { return };
        if !owners.is_empty() {
            let (began, sequences) = (Instant::now(), owners.len());
            let read_tokens = input.texts.iter().map(Vec::len).sum();
            // The engine is thrown away after a panic, so whatever it left half-done is never seen.
            let outcome = catch_unwind(AssertUnwindSafe(|| engine.run(input, &mut Unheard)));
            let figures = StepFigures { sequences, read_tokens, ..StepFigures::default() };
            self.door.metrics.observe_step(self.door.model(), began.elapsed(), &figures);
            match outcome {
                Ok(Ok(output)) => {
                    for (owner, vector) in owners.into_iter().zip(output.vectors) {
                        self.running[owner].vectors.push(vector);
                    }
                }
                Ok(Err(error)) => self.fail_some(&owners, &error.into()),
                Err(_) => {
                    self.fail_some(&owners, &Failure::panicked());
                    self.door.unload(self.loaded.take());
                }
            }
        }
        self.end_done();
    }

    /// One text of each request in turn, so that a large one keeps no small one waiting; vectors of one size each time.
    fn gather(&mut self) -> (Vec<usize>, EmbeddingInput) {
        let (mut owners, mut texts) = (Vec::new(), Vec::new());
        let mut room = self.batch_tokens;
        let dimensions = self.running.front().and_then(|first| first.dimensions);
        loop {
            let before = texts.len();
            let alike = |(_, running): &(usize, &mut Running)| running.dimensions == dimensions;
            for (owner, running) in self.running.iter_mut().enumerate().filter(alike) {
                let fits = |text: &mut Vec<u32>| texts.is_empty() || text.len() <= room;
                if let Some(text) = running.texts.pop_front_if(fits) {
                    room = room.saturating_sub(text.len());
                    owners.push(owner);
                    texts.push(text);
                }
            }
            if texts.len() == before {
                return (owners, EmbeddingInput { texts, dimensions });
            }
        }
    }

    fn end_done(&mut self) {
        let mut at = 0;
        while at < self.running.len() {
            if !self.running[at].texts.is_empty() {
                at += 1;
            } else if let Some(Running { vectors, answer, began, .. }) = self.running.remove(at) {
                self.door.metrics.observe_run(self.door.model(), began.elapsed());
                self.end(answer, Ok(vectors));
            }
        }
    }

    /// Ends the requests that these texts were of.
    fn fail_some(&mut self, owners: &[usize], failure: &Failure) {
        let (code, detail) = (failure.code, &failure.detail);
        tracing::warn!(model = %self.door.model(), code, detail, "embedding failed");
        for at in (0..self.running.len()).rev() {
            if owners.contains(&at)
                && let Some(running) = self.running.remove(at)
            {
                self.end(running.answer, Err(failure.clone()));
            }
        }
    }

    fn fail_all(&mut self, failure: &Failure) {
        for running in std::mem::take(&mut self.running) {
            self.end(running.answer, Err(failure.clone()));
        }
        self.door.set_running(0);
    }

    fn end(&self, answer: EmbeddingAnswer, outcome: Result<Vec<Vec<f32>>, Failure>) {
        let name = if outcome.is_ok() { "completed" } else { "failed" };
        self.door.metrics.job_ended(self.door.model(), name);
        answer(outcome);
    }
}

/// What is wrong with one request must not fail those computed with it.
fn check(input: &EmbeddingInput, shape: &EmbeddingShape) -> Result<(), EngineError> {
    let (limit, whole) = (shape.max_tokens, shape.dimensions);
    let wrong = |text: &Vec<u32>| match text.iter().find(|&&id| id as usize >= shape.vocab_size) {
        _ if text.is_empty() => Some("a text has no tokens".to_owned()),
        _ if text.len() > limit => {
            Some(format!("a text has {} tokens, the model reads {limit}", text.len()))
        }
        Some(token) => Some(format!("there is no token {token}")),
        None => None,
    };
    let size = match input.dimensions {
        Some(wanted) if shape.is_truncatable && !(1..=whole).contains(&wanted) => {
            Some(format!("the model's vectors have 1 to {whole} dimensions, not {wanted}"))
        }
        Some(wanted) if !shape.is_truncatable && wanted != whole => {
            Some(format!("the model's vectors have {whole} dimensions, not {wanted}"))
        }
        _ => None,
    };
    match size.or_else(|| input.texts.iter().find_map(wrong)) {
        Some(reason) => Err(EngineError::InvalidInput(reason)),
        None => Ok(()),
    }
}

/// A pass is short: nobody follows it.
struct Unheard;

impl Sink<EmbeddingProgress> for Unheard {
    fn emit(&mut self, _: EmbeddingProgress) -> Result<(), Stopped> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "embedding_tests.rs"]
mod tests;
