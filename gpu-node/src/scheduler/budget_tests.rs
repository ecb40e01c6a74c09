//! Lanes of every kind within one budget.

use std::{
    sync::{
        RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    time::Duration,
};

use shared::ids::JobId;

use super::*;
use crate::{
    engines::{
        Engine, EngineError, Sink,
        embeddings::{
            EmbeddingEngine, EmbeddingInput, EmbeddingOutput, EmbeddingProgress, EmbeddingShape,
        },
        text::{
            batching::fake_model::{BLOCK_BYTES, Mood, Taste, input, loaded, settings},
            request::{TextEvent, TextUsage},
        },
    },
    scheduler::{
        EmbeddingLane, EmbeddingLaneSettings, Failure, Lane, LaneControl, LaneJob, LaneSettings,
        LoadModel, LoadState, Metrics, Observer, Outcome, Place, TextLane, TextLaneSettings,
        TextObserver, Ticket,
    },
};

/// Longer than any test takes: a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);
const CACHE_BYTES: u64 = 100 * BLOCK_BYTES as u64;
/// What each of the models takes, whatever it does.
const BYTES: u64 = CACHE_BYTES + 100;

/// How a model's loads go, and how many there were.
#[derive(Default)]
struct Script {
    loads: AtomicUsize,
    fails: AtomicBool,
    /// The memory is not there, whatever the budget says.
    is_short: AtomicBool,
    panics: AtomicBool,
    /// A fetch waits while the test holds it for writing.
    fetches: RwLock<()>,
    /// A load does.
    gate: RwLock<()>,
    fetched: AtomicUsize,
}

struct Scripted<F>(Arc<Script>, F);

impl<M, F: FnMut() -> M + Send> LoadModel<M> for Scripted<F> {
    fn fetch(&mut self, _: &(dyn Fn() -> bool + Sync)) -> Result<(), EngineError> {
        self.0.fetched.fetch_add(1, Ordering::SeqCst);
        drop(self.0.fetches.read());
        Ok(())
    }

    fn load(&mut self) -> Result<M, EngineError> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        drop(self.0.gate.read());
        assert!(!self.0.panics.swap(false, Ordering::SeqCst), "told to");
        if self.0.fails.swap(false, Ordering::SeqCst) {
            return Err(EngineError::Failed("the weights are torn".to_owned()));
        }
        if self.0.is_short.swap(false, Ordering::SeqCst) {
            return Err(EngineError::OutOfMemory("the card is full".to_owned()));
        }
        Ok((self.1)())
    }
}

struct Brush;

impl Engine for Brush {
    type Input = ();
    type Event = ();
    type Output = ();

    fn run(&mut self, (): (), _: &mut dyn Sink<()>) -> Result<(), EngineError> {
        Ok(())
    }
}

struct Ruler;

impl Engine for Ruler {
    type Input = EmbeddingInput;
    type Event = EmbeddingProgress;
    type Output = EmbeddingOutput;

    fn run(
        &mut self,
        input: EmbeddingInput,
        _: &mut dyn Sink<EmbeddingProgress>,
    ) -> Result<EmbeddingOutput, EngineError> {
        Ok(EmbeddingOutput { vectors: vec![vec![1.0]; input.texts.len()], tokens: 0 })
    }
}

enum Kind {
    Image(Lane<Brush>),
    Text(TextLane),
    Embedding(EmbeddingLane),
}

/// A lane of some kind.
struct Model {
    script: Arc<Script>,
    kind: Kind,
}

/// A request under way.
struct Call {
    ended: Receiver<Result<(), Failure>>,
    _ticket: Option<Ticket>,
}

struct Ear(Sender<Result<(), Failure>>);

impl Observer<Brush> for Ear {
    fn queued(&self, _: Place) {}
    fn started(&self) {}
    fn emitted(&self, (): ()) {}
    fn ended(&self, outcome: Outcome<()>) {
        let _ = self.0.send(match outcome {
            Outcome::Failed(failure) => Err(failure),
            _ => Ok(()),
        });
    }
}

impl TextObserver for Ear {
    fn emitted(&mut self, _: TextEvent) {}
    fn ended(self: Box<Self>, outcome: Result<TextUsage, Failure>) {
        let _ = self.0.send(outcome.map(drop));
    }
}

fn image(name: &str, budget: &Arc<MemoryBudget>) -> Model {
    let script = Arc::<Script>::default();
    let load = Box::new(Scripted(script.clone(), || Brush));
    let settings = LaneSettings { model: name.to_owned(), capacity: 32, memory_bytes: BYTES };
    let lane = Lane::start(settings, load, budget.clone(), Arc::default()).unwrap();
    Model { script, kind: Kind::Image(lane) }
}

fn text(name: &str, budget: &Arc<MemoryBudget>) -> Model {
    let (script, mood) = (Arc::<Script>::default(), Arc::<Mood>::default());
    let load = Box::new(Scripted(script.clone(), move || loaded(Taste::Wild, &mood)));
    let (model, batch) = (name.to_owned(), settings(100));
    assert_eq!(batch.cache_bytes, CACHE_BYTES);
    let memory_bytes = BYTES - CACHE_BYTES;
    let settings = TextLaneSettings { model, capacity: 32, memory_bytes, batch };
    let lane = TextLane::start(settings, load, budget.clone(), Arc::default()).unwrap();
    Model { script, kind: Kind::Text(lane) }
}

fn embedding(budget: &Arc<MemoryBudget>) -> Model {
    let script = Arc::<Script>::default();
    let shape =
        EmbeddingShape { dimensions: 1, is_truncatable: false, max_tokens: 8, vocab_size: 100 };
    let load =
        Box::new(Scripted(script.clone(), move || (Box::new(Ruler) as EmbeddingEngine, shape)));
    let settings = EmbeddingLaneSettings {
        model: "embedding".to_owned(),
        capacity: 32,
        memory_bytes: BYTES,
        batch_tokens: 16,
    };
    let metrics = Arc::<Metrics>::default();
    let lane = EmbeddingLane::start(settings, load, budget.clone(), metrics).unwrap();
    Model { script, kind: Kind::Embedding(lane) }
}

impl Model {
    fn call(&self) -> Call {
        let (sender, ended) = mpsc::channel();
        let ticket = match &self.kind {
            Kind::Image(lane) => {
                let (id, observer) = (JobId(uuid::Uuid::nil()), Arc::new(Ear(sender)));
                lane.submit(LaneJob { id, input: (), weight: 1.0, observer }).unwrap();
                None
            }
            Kind::Text(lane) => {
                Some(lane.submit(input("a fish", 1), Box::new(Ear(sender))).unwrap())
            }
            Kind::Embedding(lane) => {
                let input = EmbeddingInput { texts: vec![vec![1]], dimensions: None };
                let answer = Box::new(move |outcome: Result<Vec<Vec<f32>>, Failure>| {
                    let _ = sender.send(outcome.map(drop));
                });
                Some(lane.submit(input, answer).unwrap())
            }
        };
        Call { ended, _ticket: ticket }
    }

    fn control(&self) -> &dyn LaneControl {
        match &self.kind {
            Kind::Image(lane) => lane,
            Kind::Text(lane) => lane,
            Kind::Embedding(lane) => lane,
        }
    }

    fn is_loaded(&self) -> bool {
        self.control().status().load == LoadState::Loaded
    }

    fn loads(&self) -> usize {
        self.script.loads.load(Ordering::SeqCst)
    }

    /// Asks and waits for the answer, and until the lane is idle again.
    fn serve(&self) -> Result<(), Failure> {
        let outcome = self.call().end();
        until(|| !self.control().status().is_running);
        outcome
    }
}

impl Call {
    fn end(&self) -> Result<(), Failure> {
        self.ended.recv_timeout(PATIENCE).expect("it hangs")
    }
}

fn until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it hangs");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn budget(models: u64) -> Arc<MemoryBudget> {
    Arc::new(MemoryBudget::new(Some(models * BYTES)))
}

fn one_of_each(budget: &Arc<MemoryBudget>) -> [Model; 3] {
    [image("image", budget), text("text", budget), embedding(budget)]
}

#[test]
fn models_of_every_kind_share_the_budget_and_the_longest_unused_leaves() {
    let budget = budget(2);
    let models = one_of_each(&budget);
    let loaded = || models.each_ref().map(Model::is_loaded);
    for (asked, expected) in [
        (0, [true, false, false]),
        (1, [true, true, false]),
        (2, [false, true, true]),
        (1, [false, true, true]),
        (0, [true, true, false]),
        (2, [true, false, true]),
        (0, [true, false, true]),
        (1, [true, true, false]),
    ] {
        assert_eq!(models[asked].serve(), Ok(()));
        assert_eq!(loaded(), expected, "after {asked}");
    }
    assert_eq!(models.each_ref().map(Model::loads), [2, 2, 2]);
}

#[test]
fn a_model_is_loaded_once_for_all_who_wait() {
    for model in one_of_each(&budget(3)) {
        let hold = model.script.gate.write();
        let calls: Vec<Call> = (0..4).map(|_| model.call()).collect();
        drop(hold);
        assert!(calls.iter().all(|call| call.end().is_ok()));
        assert_eq!(model.loads(), 1);
    }
}

/// Each is asked to leave while it loads for somebody.
#[test]
fn lanes_that_want_the_same_room_serve_before_they_leave() {
    let budget = budget(1);
    let models = [text("first", &budget), embedding(&budget), text("second", &budget)];
    let was_asked = || locked(&budget.leases).iter().any(|lease| lease.was_asked);
    for (model, other) in [(0, 1), (2, 0), (1, 2)] {
        let hold = models[model].script.gate.write();
        let before = models[model].loads();
        let call = models[model].call();
        until(|| models[model].loads() > before);
        let next = models[other].call();
        until(was_asked);
        drop(hold);
        assert_eq!((call.end(), next.end()), (Ok(()), Ok(())));
        assert_eq!(models[model].loads(), before + 1);
    }
}

#[test]
fn a_text_models_cache_counts_and_what_never_fits_says_so() {
    let tight = Arc::new(MemoryBudget::new(Some(BYTES - 1)));
    for model in one_of_each(&tight) {
        let failure = model.serve().unwrap_err();
        let reason = format!("it takes {BYTES} bytes and this node may use {}", BYTES - 1);
        assert_eq!(failure.code, "model_not_loaded");
        assert!(failure.detail.contains(&reason), "{}", failure.detail);
        assert_eq!(model.loads(), 0);
    }
}

#[test]
fn a_load_that_fails_says_why_leaves_its_room_and_is_tried_again() {
    let budget = budget(1);
    let models = one_of_each(&budget);
    for (model, neighbour) in [(0, 1), (1, 2), (2, 0)] {
        let (script, neighbour) = (&models[model].script, &models[neighbour]);
        for (trouble, reason) in [
            (&script.fails, "the weights are torn"),
            (&script.panics, "loading stopped unexpectedly"),
        ] {
            trouble.store(true, Ordering::SeqCst);
            let failure = models[model].serve().unwrap_err();
            assert!(failure.detail.ends_with(reason), "{}", failure.detail);
            assert!(matches!(models[model].control().status().load, LoadState::Failed(_)));
            assert_eq!(neighbour.serve(), Ok(()), "the others go on");
        }
        assert_eq!(models[model].serve(), Ok(()));
    }
}

#[test]
fn nobody_gives_room_up_for_a_model_whose_files_are_on_their_way() {
    for slow in 0..3 {
        let budget = budget(1);
        let models = one_of_each(&budget);
        let neighbour = &models[(slow + 1) % 3];
        assert_eq!(neighbour.serve(), Ok(()));
        let hold = models[slow].script.fetches.write();
        let call = models[slow].call();
        until(|| models[slow].script.fetched.load(Ordering::SeqCst) == 1);
        assert_eq!(neighbour.serve(), Ok(()));
        assert_eq!((neighbour.is_loaded(), neighbour.loads()), (true, 1));
        drop(hold);
        assert_eq!(call.end(), Ok(()));
        assert!(!neighbour.is_loaded());
    }
}

#[derive(Default)]
struct Quiet(AtomicBool);

impl Tenant for Quiet {
    fn name(&self) -> &str {
        "quiet"
    }

    fn is_idle(&self) -> bool {
        true
    }

    fn ask_to_leave(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_run_borrows_what_is_free_and_whoever_waits_for_it_has_it_next() {
    let budget = Arc::new(MemoryBudget::new(Some(100)));
    let tenant = Arc::<Quiet>::default();
    budget.reserve(tenant.clone(), 60, &|| true).unwrap();
    assert_eq!((budget.borrow("quiet", 30), budget.borrow("quiet", 30)), (30, 10));
    assert_eq!(budget.borrow("unloaded", 1), 0);

    let next = Arc::<Quiet>::default();
    let waits = {
        let budget = budget.clone();
        std::thread::spawn(move || budget.reserve(next, 40, &|| true))
    };
    until(|| locked(&budget.line).waiting.len() == 1);
    assert_eq!(budget.borrow("quiet", 1), 0);
    budget.give_back("quiet");
    assert_eq!(waits.join().unwrap(), Ok(()));
    assert!(!tenant.0.load(Ordering::SeqCst), "nobody had to leave for it");
    assert_eq!(budget.borrow("quiet", 1), 0);
    assert_eq!(MemoryBudget::new(None).borrow("quiet", 7), 7);
}

#[path = "budget_turns_tests.rs"]
mod turns;
