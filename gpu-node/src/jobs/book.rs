//! Every run this node knows, by job id: those under way, and those that ended not long ago.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use shared::{ids::JobId, node::jobs::NodeEvent};
use tokio::sync::watch;

use super::{
    order::KeptOrder,
    origin::{Keep, Origin},
    room::{Room, Worth},
    run::{Run, StoredArtifact},
    tally::{Tallies, Tally},
    view::Phase,
};
use crate::{
    error::{Error, Result},
    scheduler::{Metrics, locked},
};

/// An engine stops at its next step.
const RETRY_AFTER_STOP_MS: u64 = 5_000;

/// Tells the time; a fake one stands still.
pub trait Clock: Send + Sync {
    fn now(&self) -> Instant;
}

/// The machine's own clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// How long, how many and how large the runs that ended may be before some are forgotten; `room.rs` says which.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub max_age: Duration,
    /// Of runs with results; as many without may stay beside them.
    pub max_count: usize,
    /// Of all results, previews and inputs together; the newest run is kept even when it alone is larger.
    pub max_bytes: u64,
}

/// The runs of one node. Locks are taken in the order book, lane, run.
pub struct JobBook {
    runs: Mutex<HashMap<JobId, Arc<Run>>>,
    tallies: Tallies,
    retention: Retention,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    unfinished: watch::Sender<usize>,
    fetched: watch::Sender<()>,
}

impl JobBook {
    /// An empty book.
    pub fn new(retention: Retention, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self {
            runs: Mutex::default(),
            tallies: Tallies::default(),
            retention,
            clock,
            metrics,
            unfinished: watch::Sender::new(0),
            fetched: watch::Sender::new(()),
        }
    }

    /// How long and by which clock things are kept here; what else callers leave is kept so, too.
    pub fn keeping(&self) -> (Retention, Arc<dyn Clock>) {
        (self.retention, self.clock.clone())
    }

    /// The run of that order: the one there is, or a new one that `start` got going. The flag says which.
    pub fn open(
        &self,
        order: KeptOrder,
        origin: Origin,
        start: impl FnOnce(&Arc<Run>) -> Result<()>,
    ) -> Result<(Arc<Run>, bool)> {
        let mut runs = locked(&self.runs);
        self.forget_old(&mut runs);
        let first_number = match runs.get(&order.order.id) {
            Some(run) if !run.is_of(&order) => {
                return Err(Error::Conflict("a job with this id was ordered with another body"));
            }
            Some(run) if !run.may_run_again() => return Ok((run.clone(), false)),
            Some(run) => run.next_number(),
            None => 1,
        };
        let run = Arc::new(Run::new(order, origin, first_number));
        self.begin(&mut runs, &run, start)?;
        Ok((run, true))
    }

    /// Runs an order again that failed for whatever reason; what came of it before is dropped.
    pub fn reopen(
        &self,
        id: JobId,
        start: impl FnOnce(&Arc<Run>) -> Result<()>,
    ) -> Result<Arc<Run>> {
        let mut runs = locked(&self.runs);
        let failed = runs.get(&id).ok_or(Error::NotFound("job"))?;
        if !matches!(failed.phase(), Phase::Failed | Phase::TimedOut) {
            return Err(Error::Conflict("only a job that failed or timed out can run again"));
        }
        // One of a lane's jobs is told from another by this id.
        if failed.ended_at().is_none() {
            return Err(still_busy());
        }
        let run = Run::new(failed.kept_order(), failed.origin.clone(), failed.next_number());
        let run = Arc::new(run);
        self.begin(&mut runs, &run, start)?;
        self.tallies.add(&run.order.model, |tally| tally.retried += 1);
        Ok(run)
    }

    fn begin(
        &self,
        runs: &mut HashMap<JobId, Arc<Run>>,
        run: &Arc<Run>,
        start: impl FnOnce(&Arc<Run>) -> Result<()>,
    ) -> Result<()> {
        start(run)?;
        // The book is still locked, so the run's end, on another thread, comes after this.
        self.unfinished.send_modify(|count| *count += 1);
        runs.insert(run.order.id, run.clone());
        Ok(())
    }

    /// Every run that is known, the newest first.
    pub fn list(&self) -> Vec<Arc<Run>> {
        let mut runs = locked(&self.runs);
        self.forget_old(&mut runs);
        let mut listed: Vec<Arc<Run>> = runs.values().cloned().collect();
        drop(runs);
        listed.sort_by_key(|run| Reverse((run.created_at(), run.order.id)));
        listed
    }

    /// What became of a model's jobs since the node began.
    pub fn tally(&self, model: &str) -> Tally {
        self.tallies.of(model)
    }

    /// The run of that id, if it is still known.
    pub fn find(&self, id: JobId) -> Option<Arc<Run>> {
        let mut runs = locked(&self.runs);
        self.forget_old(&mut runs);
        runs.get(&id).cloned()
    }

    /// Forgets a run that ended, with its results; says whether it did.
    pub fn forget_ended(&self, id: JobId) -> bool {
        let mut runs = locked(&self.runs);
        let has_ended = runs.get(&id).is_some_and(|run| run.ended_at().is_some());
        if has_ended {
            runs.remove(&id);
            self.forget_old(&mut runs);
        }
        drop(runs);
        self.note_fetched();
        has_ended
    }

    /// Forgets what is too old, too many or too large.
    pub fn sweep(&self) {
        self.forget_old(&mut locked(&self.runs));
    }

    pub(super) fn settle(&self, run: &Run, event: NodeEvent, artifacts: Vec<StoredArtifact>) {
        let mut runs = locked(&self.runs);
        run.end(event, artifacts, self.clock.now());
        self.forget_old(&mut runs);
        drop(runs);
        self.tallies.add(&run.order.model, |tally| match run.phase() {
            Phase::Completed => tally.completed += 1,
            Phase::Failed | Phase::TimedOut => tally.failed += 1,
            Phase::Queued | Phase::Running | Phase::Cancelled => {}
        });
        self.unfinished.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// Waits until no run is under way.
    pub async fn wait_until_idle(&self) {
        // The sender lives as long as the book, so the wait cannot fail.
        let _ = self.unfinished.subscribe().wait_for(|count| *count == 0).await;
    }

    /// A result was handed out.
    pub(super) fn note_fetched(&self) {
        self.fetched.send_replace(());
    }

    /// Waits until every run that ended within `age` has been fetched or forgotten.
    pub async fn wait_until_fetched(&self, age: Duration) {
        let _ = self.fetched.subscribe().wait_for(|()| !self.has_unfetched(age)).await;
    }

    fn has_unfetched(&self, age: Duration) -> bool {
        let now = self.clock.now();
        locked(&self.runs).values().any(|run| {
            run.ended_at().is_some_and(|ended_at| now.duration_since(ended_at) < age)
                && run.has_unfetched()
        })
    }

    fn forget_old(&self, runs: &mut HashMap<JobId, Arc<Run>>) {
        let now = self.clock.now();
        for run in runs.values_mut() {
            let is_due = |keep: Keep| {
                run.ended_at().is_some_and(|ended_at| now.duration_since(ended_at) > keep.data)
            };
            if run.origin.keep.is_some_and(is_due) && !run.is_data_removed() {
                *run = Arc::new(run.without_data());
            }
        }
        let mut ended: Vec<(Worth, Reverse<Instant>, JobId)> = runs
            .iter()
            .filter_map(|(id, run)| Some((Worth::of(run), Reverse(run.ended_at()?), *id)))
            .collect();
        ended.sort_unstable();
        let mut room = Room::new(&self.retention);
        for (worth, Reverse(ended_at), id) in ended {
            let Some(run) = runs.get_mut(&id) else { continue };
            let age = now.duration_since(ended_at);
            let max_age = run.origin.keep.map_or(self.retention.max_age, |keep| keep.record);
            if age > max_age || !room.has_place(worth) {
                runs.remove(&id);
                continue;
            }
            if room.take(worth, run.kept_bytes(), run.input_bytes()) {
                continue;
            }
            if worth.has_results() {
                runs.remove(&id);
            } else {
                *run = Arc::new(run.without_data());
            }
        }
        self.metrics.set_artifact_bytes(room.artifact_bytes);
    }
}

/// Its engine was told to stop and has not heard yet.
pub(super) fn still_busy() -> Error {
    Error::Unavailable {
        detail: "the job's engine has not stopped yet".to_owned(),
        retry_after_ms: RETRY_AFTER_STOP_MS,
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
