//! A lane's callers: what a cancellation reaches.

use std::{sync::mpsc, time::Duration};

use super::*;
use crate::engines::{EngineError, Sink};

/// Longer than the test takes: a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Begins, waits for a word, and then looks whether anybody still wants it.
struct Gate(mpsc::Receiver<()>);

impl Engine for Gate {
    type Input = ();
    type Event = ();
    type Output = ();

    fn run(&mut self, (): (), sink: &mut dyn Sink<()>) -> Result<(), EngineError> {
        sink.emit(())?;
        let _ = self.0.recv();
        sink.emit(())?;
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
enum Heard {
    Started,
    Ended(&'static str),
}

struct Ear(mpsc::Sender<Heard>);

impl Observer<Gate> for Ear {
    fn queued(&self, _: Place) {}
    fn started(&self) {
        let _ = self.0.send(Heard::Started);
    }
    fn emitted(&self, (): ()) {}
    fn ended(&self, outcome: Outcome<()>) {
        let _ = self.0.send(Heard::Ended(outcome.name()));
    }
}

#[test]
fn cancelling_an_id_reaches_what_runs_and_what_waits_under_it() {
    let (open, gate) = mpsc::channel();
    let mut engine = Some(Gate(gate));
    let load = Box::new(move || engine.take().ok_or(EngineError::Cancelled));
    let budget = Arc::new(MemoryBudget::new(None));
    let settings = LaneSettings { model: "gate".to_owned(), capacity: 8, memory_bytes: 0 };
    let lane = Lane::start(settings, load, budget, Arc::default()).expect("a thread");
    let id = JobId::from_random([1; 16]);
    let submit = || {
        let (sender, heard) = mpsc::channel();
        let job = LaneJob { id, input: (), weight: 1.0, observer: Arc::new(Ear(sender)) };
        lane.submit(job).expect("there is room");
        move || heard.recv_timeout(PATIENCE).expect("it hangs")
    };
    let runs = submit();
    assert_eq!(runs(), Heard::Started);
    let waits = submit();
    lane.cancel(id);
    assert_eq!(waits(), Heard::Ended("cancelled"));
    open.send(()).expect("the engine waits");
    assert_eq!(runs(), Heard::Ended("cancelled"));
}
