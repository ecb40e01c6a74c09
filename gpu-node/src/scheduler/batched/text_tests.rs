use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    time::Duration,
};

use super::*;
use crate::{
    engines::{
        EngineError,
        text::{
            batching::fake_model::{BLOCK_BYTES, Mood, Taste, input, loaded, settings},
            request::FinishReason,
        },
    },
    scheduler::LoadState,
};

/// Longer than any test takes: a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

enum Heard {
    Said(TextEvent),
    Ended(Result<TextUsage, Failure>),
}

struct Ear(Sender<Heard>);

impl TextObserver for Ear {
    fn emitted(&mut self, event: TextEvent) {
        let _ = self.0.send(Heard::Said(event));
    }
    fn ended(self: Box<Self>, outcome: Result<TextUsage, Failure>) {
        let _ = self.0.send(Heard::Ended(outcome));
    }
}

/// A request under way.
struct Call {
    heard: Receiver<Heard>,
    ticket: Ticket,
}

impl Call {
    /// What it comes to: the text and how it ended.
    fn end(&self) -> (String, Result<TextUsage, Failure>) {
        let mut text = String::new();
        loop {
            match self.heard.recv_timeout(PATIENCE).expect("it hangs") {
                Heard::Said(TextEvent::Piece { text: more, .. }) => text.push_str(&more),
                Heard::Said(_) => {}
                Heard::Ended(outcome) => return (text, outcome),
            }
        }
    }

    /// Waits until its prompt is read.
    fn until_started(&self) {
        let heard = self.heard.recv_timeout(PATIENCE).expect("it hangs");
        assert!(matches!(heard, Heard::Said(TextEvent::Started { .. })));
    }

    fn failure_code(&self) -> &'static str {
        self.end().1.expect_err("it should have failed").code
    }
}

struct Bench {
    lane: TextLane,
    mood: Arc<Mood>,
    loads: Arc<AtomicUsize>,
    fails_to_load: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

fn bench(max_sequences: usize, capacity: usize) -> Bench {
    bench_named("fake", max_sequences, capacity, &Arc::new(MemoryBudget::new(None)))
}

fn bench_named(
    name: &str,
    max_sequences: usize,
    capacity: usize,
    budget: &Arc<MemoryBudget>,
) -> Bench {
    let (mood, metrics) = (Arc::<Mood>::default(), Arc::<Metrics>::default());
    let (loads, fails_to_load) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let load: LoadText = {
        let (mood, loads, fails) = (mood.clone(), loads.clone(), fails_to_load.clone());
        Box::new(move || {
            loads.fetch_add(1, Ordering::Relaxed);
            if fails.swap(false, Ordering::Relaxed) {
                return Err(EngineError::Failed("the weights are torn".to_owned()));
            }
            Ok(loaded(Taste::Wild, &mood))
        })
    };
    let batch = BatchSettings { max_sequences, ..settings(100) };
    let settings = TextLaneSettings { model: name.to_owned(), capacity, memory_bytes: 1000, batch };
    let lane = TextLane::start(settings, load, budget.clone(), metrics.clone()).unwrap();
    Bench { lane, mood, loads, fails_to_load, metrics }
}

impl Bench {
    fn try_call(&self, prompt: &str, seed: u64) -> Result<Call, Refused> {
        let (sender, heard) = mpsc::channel();
        let mut input = input(prompt, seed);
        input.end_tokens.clear();
        let ticket = self.lane.submit(input, Box::new(Ear(sender)))?;
        Ok(Call { heard, ticket })
    }

    fn call(&self, prompt: &str, seed: u64) -> Call {
        self.try_call(prompt, seed).expect("there is a place")
    }

    fn wait_until(&self, is_so: impl Fn(&LaneStatus) -> bool) {
        let start = std::time::Instant::now();
        while !is_so(&self.lane.status()) {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.lane.status());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn requests_run_together_and_each_hears_its_own_answer() {
    let bench = bench(8, 4);
    let hold = bench.mood.gate.write();
    let calls: Vec<Call> = (0..6).map(|seed| bench.call("tell me", seed)).collect();
    drop(hold);
    let texts: Vec<String> = calls
        .iter()
        .map(|call| {
            let (text, outcome) = call.end();
            assert_eq!(outcome.unwrap().written_tokens, 24);
            text
        })
        .collect();
    assert!(texts.windows(2).all(|pair| pair[0] != pair[1]), "{texts:?}");
    assert_eq!(bench.call("tell me", 3).end().0, texts[3], "alone it says the same");
    let passes = bench.mood.passes.load(Ordering::Relaxed);
    assert!(passes < 24 * 4, "{passes} passes for seven answers of 24 tokens");
    assert_eq!(bench.loads.load(Ordering::Relaxed), 1);
}

#[test]
fn a_full_lane_refuses_and_has_a_place_again_later() {
    let bench = bench(2, 1);
    let hold = bench.mood.gate.write();
    let calls: Vec<Call> = (0..3).map(|seed| bench.call("wait for me", seed)).collect();
    let refused = bench.try_call("one too many", 9).err();
    assert!(matches!(refused, Some(Refused::Full { retry_after_ms: 1_000.. })), "{refused:?}");
    drop(hold);
    for call in &calls {
        assert!(call.end().1.is_ok());
    }
    assert!(bench.call("now there is room", 1).end().1.is_ok());
}

#[test]
fn whoever_hangs_up_gives_their_place_up_waiting_or_running() {
    let bench = bench(1, 1);
    let hold = bench.mood.gate.write();
    let runs = bench.call("the one that runs", 1);
    bench.wait_until(|status| status.is_running);
    let waits = bench.call("the one that waits", 2);
    assert!(bench.try_call("no place", 3).is_err());
    drop(waits.ticket);
    let next = bench.call("the place of who waited", 3);
    drop(runs.ticket);
    drop(hold);
    assert!(next.end().1.is_ok());
    let ended =
        |call: Receiver<Heard>| call.into_iter().any(|heard| matches!(heard, Heard::Ended(_)));
    assert!(!ended(waits.heard) && !ended(runs.heard), "a cancelled request ends without a word");
    bench.wait_until(|status| !status.is_running);
}

#[test]
fn a_drain_hands_back_who_waits_and_lets_who_runs_finish() {
    let bench = bench(1, 3);
    let hold = bench.mood.gate.write();
    let runs = bench.call("the one that runs", 1);
    bench.wait_until(|status| status.is_running);
    let waits = bench.call("the one that waits", 2);
    bench.lane.close();
    assert_eq!(waits.failure_code(), "draining");
    assert!(matches!(bench.try_call("too late", 3), Err(Refused::Draining)));
    drop(hold);
    assert!(runs.end().1.is_ok());
}

#[test]
fn a_drain_that_lasts_too_long_ends_what_runs() {
    let bench = bench(4, 0);
    let hold = bench.mood.gate.write();
    let call = bench.call("the one that runs", 1);
    bench.wait_until(|status| status.is_running);
    bench.lane.close();
    bench.lane.stop_running();
    drop(hold);
    assert_eq!(call.failure_code(), "draining");
    bench.wait_until(|status| !status.is_running);
}

#[test]
fn a_model_that_does_not_load_fails_who_waits_and_is_tried_again() {
    let bench = bench(4, 4);
    bench.fails_to_load.store(true, Ordering::Relaxed);
    let failure = bench.call("anybody there", 1).end().1.unwrap_err();
    assert_eq!(
        (failure.code, failure.detail.as_str()),
        ("model_not_loaded", "the model fake could not be loaded: the weights are torn")
    );
    bench.wait_until(|status| matches!(status.load, LoadState::Failed(_)));
    assert!(bench.call("and now", 1).end().1.is_ok());
    assert_eq!(bench.lane.status().load, LoadState::Loaded);
}

#[test]
fn a_panic_fails_its_pass_and_the_model_is_loaded_afresh() {
    let bench = bench(4, 4);
    bench.lane.preload();
    bench.wait_until(|status| status.load == LoadState::Loaded);
    bench.mood.panics_next.store(true, Ordering::Relaxed);
    assert_eq!(bench.call("at the wrong time", 1).failure_code(), "engine_failed");
    assert!(bench.call("after it", 1).end().1.is_ok());
    assert_eq!(bench.loads.load(Ordering::Relaxed), 2);
}

#[test]
fn what_is_wrong_with_a_request_fails_it_alone() {
    let bench = bench(4, 4);
    let (empty, good) = (bench.call("", 1), bench.call("a good one", 2));
    let failure = empty.end().1.unwrap_err();
    assert_eq!((failure.code, failure.is_retryable), ("invalid_input", false));
    assert!(good.end().1.is_ok());
}

#[test]
fn a_lane_leaves_memory_for_another_once_it_is_idle() {
    let one_model = 1000 + 100 * BLOCK_BYTES as u64;
    let budget = Arc::new(MemoryBudget::new(Some(one_model)));
    let first = bench_named("first", 4, 4, &budget);
    let second = bench_named("second", 4, 4, &budget);
    let runs = first.call("the first runs", 1);
    runs.until_started();
    let other = second.call("the second wants in", 2);
    assert!(runs.end().1.is_ok(), "who runs is let finish");
    assert!(other.end().1.is_ok());
    first.wait_until(|status| status.load == LoadState::NotLoaded);
    assert!(first.call("the first again", 1).end().1.is_ok());
    assert_eq!(first.loads.load(Ordering::Relaxed), 2);
}

#[test]
fn a_lane_that_is_dropped_ends_its_requests() {
    let bench = bench(1, 2);
    let hold = bench.mood.gate.write();
    let runs = bench.call("the one that runs", 1);
    bench.wait_until(|status| status.is_running);
    let waits = bench.call("the one that waits", 2);
    drop(bench.lane);
    drop(hold);
    assert_eq!(runs.failure_code(), "draining");
    assert_eq!(waits.failure_code(), "draining");
}

#[test]
fn the_numbers_of_a_lane_are_told() {
    let bench = bench(4, 4);
    let (_, usage) = bench.call("twelve chars", 1).end();
    assert_eq!(usage.unwrap().prompt_tokens, 12);
    bench.wait_until(|status| !status.is_running);
    let text = bench.metrics.render().unwrap();
    for line in [
        r#"chandelle_node_text_tokens_total{model="fake",kind="read"} 12"#,
        r#"chandelle_node_text_tokens_total{model="fake",kind="written"} 24"#,
        r#"chandelle_node_text_sequences{model="fake"} 0"#,
        r#"chandelle_node_text_cache_blocks{model="fake",state="used"} 0"#,
        r#"chandelle_node_text_first_token_seconds_count{model="fake"} 1"#,
        r#"chandelle_node_jobs_total{model="fake",outcome="completed"} 1"#,
        r#"chandelle_node_queue_depth{model="fake"} 0"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[test]
fn an_answer_says_why_it_ended() {
    let bench = bench(4, 4);
    let call = bench.call("cut me off", 1);
    let ends: Vec<(FinishReason, usize)> = std::iter::from_fn(|| match call.heard.recv() {
        Ok(Heard::Said(event)) => Some(event),
        _ => None,
    })
    .filter_map(|event| match event {
        TextEvent::Ended { reason, tokens, .. } => Some((reason, tokens)),
        _ => None,
    })
    .collect();
    assert_eq!(ends, [(FinishReason::Length, 24)]);
}
