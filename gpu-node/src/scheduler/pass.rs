//! Jobs in the hands of the engine: what each hears, and its end, which does not wait for the others of its pass.

use std::{sync::Arc, time::Instant};

use shared::ids::JobId;

use super::{
    job::{Failure, LaneJob, Observer, Outcome},
    lane::Shared,
    locked,
    queue::Entry,
    stop::{StopFlag, StopReason},
};
use crate::engines::{Engine, EngineError, Members, Sink, Stopped};

/// What is left of a job once its input is with the engine.
pub(super) struct Run<E: Engine> {
    pub(super) id: JobId,
    pub(super) weight: f64,
    pub(super) observer: Arc<dyn Observer<E>>,
    stop: Arc<StopFlag>,
    since: Instant,
}

/// The inputs of jobs, and the rest of them.
pub(super) fn apart<E: Engine>(entries: Vec<Entry<E>>) -> (Vec<E::Input>, Vec<Run<E>>) {
    let split = |Entry { job, stop, since }| {
        let LaneJob { id, input, weight, observer } = job;
        (input, Run { id, weight, observer, stop, since })
    };
    entries.into_iter().map(split).unzip()
}

/// How a job ends that was stopped.
pub(super) fn stopped<O>(reason: StopReason) -> Outcome<O> {
    match reason {
        StopReason::Cancelled => Outcome::Cancelled,
        StopReason::Draining => Outcome::Failed(Failure::draining()),
    }
}

/// The jobs that the engine runs now.
pub(super) struct Pass<'a, E: Engine> {
    shared: &'a Shared<E>,
    runs: &'a [Run<E>],
    began: Instant,
    is_over: Vec<bool>,
    has_failures: bool,
    /// The one that ended after all others.
    last: Option<(usize, Outcome<E::Output>)>,
}

impl<'a, E: Engine> Pass<'a, E> {
    pub(super) fn new(shared: &'a Shared<E>, runs: &'a [Run<E>], began: Instant) -> Self {
        let is_over = vec![false; runs.len()];
        Self { shared, runs, began, is_over, has_failures: false, last: None }
    }

    /// Whether no job failed or was stopped.
    pub(super) fn is_complete(&self) -> bool {
        !self.has_failures && self.is_over.iter().all(|is_over| *is_over)
    }

    /// The ends that nobody has heard of yet: the last job's, and those the engine forgot.
    pub(super) fn open_ends(mut self) -> Vec<(usize, Outcome<E::Output>)> {
        let forgotten = self.is_over.iter().enumerate().filter(|(_, is_over)| !**is_over);
        let failed = |(place, _)| (place, Outcome::Failed(Failure::panicked()));
        forgotten.map(failed).chain(self.last.take()).collect()
    }

    fn outcome(&self, run: &Run<E>, result: Result<E::Output, EngineError>) -> Outcome<E::Output> {
        match (result, run.stop.reason()) {
            (_, Some(StopReason::Cancelled)) => Outcome::Cancelled,
            (Ok(output), _) => Outcome::Completed {
                output,
                queued_ms: (self.began - run.since).as_millis() as u64,
                run_ms: self.began.elapsed().as_millis() as u64,
            },
            (Err(_), Some(reason)) => stopped(reason),
            (Err(error), None) => Outcome::Failed(error.into()),
        }
    }
}

impl<E: Engine> Members<E::Event, E::Output> for Pass<'_, E> {
    fn emit(&mut self, place: usize, event: E::Event) -> Result<(), Stopped> {
        let run = self.runs.get(place).filter(|run| run.stop.reason().is_none()).ok_or(Stopped)?;
        run.observer.emitted(event);
        Ok(())
    }

    fn ended(&mut self, place: usize, result: Result<E::Output, EngineError>) {
        let Some(run) = self.runs.get(place).filter(|_| !self.is_over[place]) else { return };
        self.is_over[place] = true;
        let outcome = self.outcome(run, result);
        self.has_failures |= !matches!(outcome, Outcome::Completed { .. });
        if self.is_over.iter().all(|is_over| *is_over) {
            self.last = Some((place, outcome));
            return;
        }
        self.shared.log_failure(run.id, &outcome);
        let mut state = locked(&self.shared.state);
        state.queue.leave(run.id, Instant::now());
        self.shared.report(&state);
        drop(state);
        self.shared.end(&*run.observer, outcome);
    }
}

/// The one job of a pass.
pub(super) struct OnlyRun<'a, 'b, E: Engine>(pub(super) &'a mut Pass<'b, E>);

impl<E: Engine> Sink<E::Event> for OnlyRun<'_, '_, E> {
    fn emit(&mut self, event: E::Event) -> Result<(), Stopped> {
        self.0.emit(0, event)
    }
}
