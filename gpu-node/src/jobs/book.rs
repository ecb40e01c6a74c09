//! Every run this node knows, by job id: those under way, and those that ended not long ago.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use shared::{ids::JobId, node::jobs::NodeEvent};
use tokio::sync::watch;

use super::{
    order::KeptOrder,
    origin::Origin,
    run::{Run, StoredArtifact},
    tally::{Tallies, Tally},
    view::Phase,
};
use crate::{
    error::{Error, Result},
    scheduler::{Metrics, locked},
};

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

/// How long, how many and how large the runs that ended may be before the oldest are forgotten.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub max_age: Duration,
    pub max_count: usize,
    /// Of all results and previews together; the newest run is kept even when it alone is larger.
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
        if !matches!(failed.view().phase(), Phase::Failed | Phase::TimedOut) {
            return Err(Error::Conflict("only a job that failed or timed out can run again"));
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
        listed.sort_by_key(|run| std::cmp::Reverse((run.created_at(), run.order.id)));
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
        self.tallies.add(&run.order.model, |tally| match run.view().phase() {
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
        let mut ended: Vec<(Instant, JobId)> =
            runs.iter().filter_map(|(id, run)| Some((run.ended_at()?, *id))).collect();
        ended.sort_by(|left, right| right.cmp(left));
        let (mut kept_bytes, mut artifact_bytes, mut is_full) = (0, 0, false);
        for (index, (ended_at, id)) in ended.into_iter().enumerate() {
            let Some(run) = runs.get_mut(&id) else { continue };
            let age = now.duration_since(ended_at);
            let max_age = run.origin.keep.map_or(self.retention.max_age, |keep| keep.record);
            if run.origin.keep.is_some_and(|keep| age > keep.data) && !run.is_data_removed() {
                *run = Arc::new(run.without_data());
            }
            let bytes = run.kept_bytes() + run.origin.input_bytes();
            // Newest first, so what does not fit takes everything older with it.
            is_full = is_full
                || index >= self.retention.max_count
                || (index > 0 && kept_bytes + bytes > self.retention.max_bytes);
            if is_full || age > max_age {
                runs.remove(&id);
            } else {
                kept_bytes += bytes;
                artifact_bytes += run.kept_bytes();
            }
        }
        self.metrics.set_artifact_bytes(artifact_bytes);
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
