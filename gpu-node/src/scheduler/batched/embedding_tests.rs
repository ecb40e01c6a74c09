use std::sync::{
    Mutex, RwLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
    mpsc::{self, Receiver},
};
use std::time::Duration;

use super::*;
use crate::engines::embeddings::EmbeddingOutput;

const PATIENCE: Duration = Duration::from_secs(60);
const WHOLE: usize = 4;

/// What the engine was asked, and how it misbehaves.
#[derive(Default)]
struct Script {
    /// Passes that have begun.
    begun: AtomicUsize,
    passes: Mutex<Vec<EmbeddingInput>>,
    fails_next: AtomicBool,
    panics_next: AtomicBool,
    gate: RwLock<()>,
}

/// A vector is the text's tokens, as many as there are dimensions.
struct Echo(Arc<Script>);

impl Engine for Echo {
    type Input = EmbeddingInput;
    type Event = EmbeddingProgress;
    type Output = EmbeddingOutput;

    fn run(
        &mut self,
        input: EmbeddingInput,
        _: &mut dyn Sink<EmbeddingProgress>,
    ) -> Result<EmbeddingOutput, EngineError> {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        drop(self.0.gate.read());
        self.0.passes.lock().unwrap().push(input.clone());
        assert!(!self.0.panics_next.swap(false, Ordering::Relaxed), "told to");
        if self.0.fails_next.swap(false, Ordering::Relaxed) {
            return Err(EngineError::Failed("the card fell off".to_owned()));
        }
        let size = input.dimensions.unwrap_or(WHOLE);
        let vector = |text: &Vec<u32>| text.iter().map(|&id| id as f32).take(size).collect();
        let vectors = input.texts.iter().map(vector).collect();
        Ok(EmbeddingOutput { vectors, tokens: 0 })
    }
}

struct Bench {
    lane: EmbeddingLane,
    script: Arc<Script>,
}

type Heard = Receiver<Result<Vec<Vec<f32>>, Failure>>;

impl Bench {
    fn start(capacity: usize) -> Self {
        let script = Arc::<Script>::default();
        let shape = EmbeddingShape {
            dimensions: WHOLE,
            is_truncatable: true,
            max_tokens: 8,
            vocab_size: 100,
        };
        let load: LoadEmbedding = {
            let script = script.clone();
            Box::new(move || Ok((Box::new(Echo(script.clone())) as EmbeddingEngine, shape)))
        };
        let settings = EmbeddingLaneSettings {
            model: "echo".to_owned(),
            capacity,
            memory_bytes: 1,
            batch_tokens: 16,
        };
        let (budget, metrics) = (Arc::new(MemoryBudget::new(None)), Arc::default());
        Self { lane: EmbeddingLane::start(settings, load, budget, metrics).unwrap(), script }
    }

    fn call(&self, texts: &[&[u32]], dimensions: Option<usize>) -> (Heard, Ticket) {
        let (sender, heard) = mpsc::channel();
        let texts = texts.iter().map(|text| text.to_vec()).collect();
        let answer = Box::new(move |outcome| drop(sender.send(outcome)));
        let input = EmbeddingInput { texts, dimensions };
        (heard, self.lane.submit(input, answer).expect("there is a place"))
    }

    /// Calls while a pass is held, so that all of these wait for the next together.
    fn behind_a_pass(&self, calls: impl FnOnce()) {
        let hold = self.script.gate.write();
        let (first, _ticket) = self.call(&[&[1]], None);
        while self.script.begun.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        calls();
        drop(hold);
        first.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}

fn answer(heard: &Heard) -> Result<Vec<Vec<f32>>, Failure> {
    heard.recv_timeout(PATIENCE).expect("it hangs")
}

#[test]
fn requests_that_wait_are_computed_together_and_each_gets_its_own() {
    let bench = Bench::start(50);
    let mut calls = Vec::new();
    bench.behind_a_pass(|| calls.extend((2..10).map(|id| bench.call(&[&[id], &[id, id]], None))));
    for (id, (heard, _)) in (2_u8..10).zip(&calls) {
        let id = f32::from(id);
        assert_eq!(answer(heard).unwrap(), [vec![id], vec![id, id]]);
    }
    let passes = bench.script.passes.lock().unwrap();
    assert!(passes.len() <= 1 + 3, "{} passes for eight requests of 24 tokens", passes.len());
    assert!(passes.iter().all(|pass| pass.texts.iter().map(Vec::len).sum::<usize>() <= 16));
}

#[test]
fn a_large_request_keeps_no_small_one_waiting() {
    let bench = Bench::start(50);
    let mut calls = Vec::new();
    let large: [&[u32]; 40] = [&[7; 8]; 40];
    bench.behind_a_pass(|| {
        calls.push(bench.call(&large, None));
        calls.push(bench.call(&[&[8; 8]], None));
    });
    assert_eq!(answer(&calls[1].0).unwrap(), [vec![8.0; WHOLE]]);
    assert_eq!(answer(&calls[0].0).unwrap().len(), 40);
    let passes = bench.script.passes.lock().unwrap();
    let at = passes.iter().position(|pass| pass.texts.contains(&vec![8; 8])).unwrap();
    assert!(at <= 4, "the small one came in pass {at} of {}", passes.len());
}

#[test]
fn vectors_of_another_size_are_another_pass() {
    let bench = Bench::start(50);
    let mut calls = Vec::new();
    bench.behind_a_pass(|| {
        calls.push(bench.call(&[&[5; 6]], Some(2)));
        calls.push(bench.call(&[&[6; 6]], None));
    });
    assert_eq!(answer(&calls[0].0).unwrap(), [vec![5.0; 2]]);
    assert_eq!(answer(&calls[1].0).unwrap(), [vec![6.0; WHOLE]]);
}

#[test]
fn what_is_wrong_with_a_request_fails_it_alone() {
    let bench = Bench::start(50);
    let long = [1; 9];
    for (texts, dimensions, reason) in [
        (&[&[][..]][..], None, "a text has no tokens"),
        (&[&long], None, "a text has 9 tokens, the model reads 8"),
        (&[&[100]], None, "there is no token 100"),
        (&[&[1]], Some(5), "the model's vectors have 1 to 4 dimensions, not 5"),
    ] {
        let (bad, _bad_ticket) = bench.call(texts, dimensions);
        let (good, _ticket) = bench.call(&[&[3]], None);
        let failure = answer(&bad).unwrap_err();
        assert_eq!((failure.code, failure.detail.as_str()), ("invalid_input", reason));
        assert_eq!(answer(&good).unwrap(), [[3.0]]);
    }
}

#[test]
fn a_failed_pass_or_a_panic_ends_who_was_in_it_and_the_next_goes_on() {
    let bench = Bench::start(50);
    bench.script.fails_next.store(true, Ordering::Relaxed);
    let (heard, _ticket) = bench.call(&[&[3]], None);
    assert_eq!(answer(&heard).unwrap_err().code, "engine_failed");
    bench.script.panics_next.store(true, Ordering::Relaxed);
    let (heard, _ticket) = bench.call(&[&[3]], None);
    assert_eq!(answer(&heard).unwrap_err().code, "engine_panicked");
    let (heard, _ticket) = bench.call(&[&[3]], None);
    assert_eq!(answer(&heard).unwrap(), [[3.0]]);
}

#[test]
fn whoever_hangs_up_is_not_computed_and_a_full_lane_refuses() {
    let bench = Bench::start(2);
    let mut calls = Vec::new();
    bench.behind_a_pass(|| {
        let (heard, ticket) = bench.call(&[&[9]], None);
        let input = EmbeddingInput { texts: vec![vec![1]], dimensions: None };
        let refused = bench.lane.submit(input, Box::new(|_| {})).err();
        assert!(matches!(refused, Some(Refused::Full { .. })), "{refused:?}");
        drop(ticket);
        calls.push((heard, bench.call(&[&[4]], None)));
    });
    let (cancelled, (heard, _ticket)) = &calls[0];
    assert_eq!(answer(heard).unwrap(), [[4.0]]);
    assert!(cancelled.recv().is_err(), "a cancelled request ends without a word");
    let passes = bench.script.passes.lock().unwrap();
    assert!(passes.iter().all(|pass| !pass.texts.contains(&vec![9])));
}

#[test]
fn a_drain_hands_back_who_waits() {
    let bench = Bench::start(50);
    let mut calls = Vec::new();
    bench.behind_a_pass(|| {
        calls.push(bench.call(&[&[4]], None));
        bench.lane.close();
    });
    assert_eq!(answer(&calls[0].0).unwrap_err().code, "draining");
    let input = EmbeddingInput { texts: vec![vec![1]], dimensions: None };
    assert!(matches!(bench.lane.submit(input, Box::new(|_| {})), Err(Refused::Draining)));
}
