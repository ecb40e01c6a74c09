//! One run of one job: its log of events, who follows it, and its results.

use std::{
    collections::HashSet,
    sync::Mutex,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use shared::node::{
    image::ImageInput,
    jobs::{Artifact, CreateNodeJob, NodeEvent, NodeJobStatus},
};
use tokio::sync::watch;

use super::{
    order::{KeptOrder, OrderDigest},
    origin::Origin,
    view::{Phase, RunView, Standing, StopCause},
};
use crate::scheduler::locked;

/// The code of a failure that lies with the order.
pub(super) const INVALID_INPUT: &str = "invalid_input";

/// An event with its place in the job's log.
pub type NumberedEvent = (u64, NodeEvent);

/// A result and what is said about it.
#[derive(Debug, Clone)]
pub struct StoredArtifact {
    pub artifact: Artifact,
    pub bytes: Bytes,
}

/// One run. Its log holds a few events per place in the queue and one per step; of these only previews are large.
pub struct Run {
    /// Without the pictures it brought.
    pub order: CreateNodeJob,
    digest: OrderDigest,
    pub origin: Origin,
    /// Whoever knows it may fetch the results without a token.
    pub key: u128,
    input_bytes: u64,
    pub(super) first_number: u64,
    created_at: SystemTime,
    state: Mutex<RunState>,
    /// Sends whenever the log grows; a `watch` so that a slow follower costs nothing.
    changed: watch::Sender<()>,
}

struct RunState {
    status: NodeJobStatus,
    events: Vec<NodeEvent>,
    preview_bytes: u64,
    artifacts: Vec<StoredArtifact>,
    fetched: HashSet<u32>,
    /// Events that were handed out by [`Run::take_news`].
    taken: usize,
    stop: Option<Stop>,
    started_at: Option<SystemTime>,
    ended_at: Option<Ended>,
    is_data_removed: bool,
}

/// Why and when it ended for its callers.
#[derive(Clone, Copy)]
struct Stop {
    cause: StopCause,
    at: SystemTime,
}

impl Stop {
    fn now(cause: StopCause) -> Self {
        Self { cause, at: SystemTime::now() }
    }
}

impl RunState {
    fn phase(&self) -> Phase {
        Phase::of(self.status, self.stop.map(|stop| stop.cause))
    }
}

/// The end by the node's clock, for ages, and by the calendar, for callers.
#[derive(Clone, Copy)]
struct Ended {
    by_clock: Instant,
    by_calendar: SystemTime,
}

impl Run {
    /// A run that waits; its events are numbered from `first_number`.
    pub fn new(kept: KeptOrder, origin: Origin, first_number: u64) -> Self {
        let state = RunState {
            status: NodeJobStatus::Queued,
            events: Vec::new(),
            preview_bytes: 0,
            artifacts: Vec::new(),
            fetched: HashSet::new(),
            taken: 0,
            stop: None,
            started_at: None,
            ended_at: None,
            is_data_removed: false,
        };
        let KeptOrder { order, digest } = kept;
        Self {
            order,
            digest,
            input_bytes: origin.input_bytes(),
            origin,
            key: rand::random(),
            first_number,
            created_at: SystemTime::now(),
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
        }
    }

    /// Whether that order is the one it carries out.
    pub fn is_of(&self, order: &KeptOrder) -> bool {
        self.digest == order.digest
    }

    /// The order it carries out, for another run of it.
    pub(super) fn kept_order(&self) -> KeptOrder {
        KeptOrder { order: self.order.clone(), digest: self.digest }
    }

    /// Where it stands for its callers.
    pub fn phase(&self) -> Phase {
        locked(&self.state).phase()
    }

    /// Where it stands, for whoever waits for a change.
    pub fn standing(&self) -> Standing {
        let state = locked(&self.state);
        Standing {
            phase: state.phase(),
            has_begun: state.started_at.is_some(),
            is_over: state.ended_at.is_some(),
        }
    }

    /// Whether it failed before it began, because its order cannot be carried out.
    pub fn was_refused(&self) -> bool {
        let state = locked(&self.state);
        let is_refusal = |event: &NodeEvent| matches!(event, NodeEvent::Failed { code, .. } if code == INVALID_INPUT);
        state.started_at.is_none() && state.events.last().is_some_and(is_refusal)
    }

    /// When it ended, if it has.
    pub fn ended_at(&self) -> Option<Instant> {
        locked(&self.state).ended_at.map(|ended| ended.by_clock)
    }

    /// When it was ordered.
    pub fn created_at(&self) -> SystemTime {
        self.created_at
    }

    /// All that callers may know of it, at one moment.
    pub fn view(&self) -> RunView {
        let state = locked(&self.state);
        let steps = state.events.iter().filter_map(|event| match event {
            NodeEvent::Progress { step, steps } => Some((*step, *steps)),
            _ => None,
        });
        RunView {
            status: state.status,
            stop: state.stop.map(|stop| stop.cause),
            steps: steps.collect(),
            end: state.ended_at.and_then(|_| state.events.last().cloned()),
            created_at: self.created_at,
            started_at: state.started_at,
            ended_at: match (state.ended_at, state.stop) {
                (Some(ended), _) => Some(ended.by_calendar),
                (None, stop) => stop.map(|stop| stop.at),
            },
            is_data_removed: state.is_data_removed,
        }
    }

    /// Ends it as that cause says, whatever becomes of it from now on; `false` when it has ended already. Its lane has
    /// to be told too.
    pub(super) fn stop(&self, cause: StopCause) -> bool {
        let mut state = locked(&self.state);
        if state.ended_at.is_some() {
            return false;
        }
        state.stop.get_or_insert_with(|| Stop::now(cause));
        drop(state);
        self.changed.send_replace(());
        true
    }

    /// Like [`Run::stop`], for one that still waits.
    pub(super) fn stop_waiting(&self, cause: StopCause) -> bool {
        let is_waiting = {
            let mut state = locked(&self.state);
            let is_waiting = state.status == NodeJobStatus::Queued && state.stop.is_none();
            if is_waiting {
                state.stop = Some(Stop::now(cause));
            }
            is_waiting
        };
        self.changed.send_replace(());
        is_waiting
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until it is as wanted.
    pub async fn wait_until(&self, is_wanted: impl Fn(Standing) -> bool) {
        let mut changed = self.changed.subscribe();
        // The sender lives as long as the run, so the wait cannot fail.
        while !is_wanted(self.standing()) && changed.changed().await.is_ok() {}
    }

    /// The events nobody was given here before.
    pub fn take_news(&self) -> Vec<NodeEvent> {
        let mut state = locked(&self.state);
        let news = state.events[state.taken..].to_vec();
        state.taken = state.events.len();
        news
    }

    /// Waits for something to take.
    pub async fn wait_for_news(&self) {
        let mut changed = self.changed.subscribe();
        let has_news = || {
            let state = locked(&self.state);
            state.taken < state.events.len() || state.ended_at.is_some()
        };
        while !has_news() && changed.changed().await.is_ok() {}
    }

    /// What is left of a run that ended, without its input and its results.
    pub(super) fn without_data(&self) -> Self {
        let order =
            CreateNodeJob { image: ImageInput::from_prompt(String::new()), ..self.order.clone() };
        let kept = KeptOrder { order, digest: self.digest };
        let run = Self::new(kept, Origin { input: None, ..self.origin.clone() }, 1);
        let state = locked(&self.state);
        *locked(&run.state) = RunState {
            status: state.status,
            events: state.events.last().cloned().into_iter().collect(),
            preview_bytes: 0,
            artifacts: Vec::new(),
            fetched: HashSet::new(),
            taken: 0,
            stop: state.stop,
            started_at: state.started_at,
            ended_at: state.ended_at,
            is_data_removed: true,
        };
        // The one event that is left keeps its number.
        let dropped = state.events.len().saturating_sub(1) as u64;
        Self { created_at: self.created_at, first_number: self.first_number + dropped, ..run }
    }

    /// Whether [`Run::without_data`] made it.
    pub(super) fn is_data_removed(&self) -> bool {
        locked(&self.state).is_data_removed
    }

    /// Whether the same id may run again: it failed for a reason that lies with this node or this moment.
    pub fn may_run_again(&self) -> bool {
        let state = locked(&self.state);
        matches!(state.events.last(), Some(NodeEvent::Failed { is_retryable: true, .. }))
    }

    /// The number of the event after its last: a later run of the same id goes on counting from there, so that a
    /// follower's `Last-Event-ID` never hides that run's events.
    pub fn next_number(&self) -> u64 {
        self.first_number + locked(&self.state).events.len() as u64
    }

    /// How much memory its results and previews take.
    pub fn kept_bytes(&self) -> u64 {
        let state = locked(&self.state);
        let artifacts: u64 = state.artifacts.iter().map(|stored| stored.artifact.bytes).sum();
        artifacts + state.preview_bytes
    }

    /// How much memory its input takes as its caller wrote it.
    pub fn input_bytes(&self) -> u64 {
        self.input_bytes
    }

    /// Whether it has results.
    pub fn has_results(&self) -> bool {
        !locked(&self.state).artifacts.is_empty()
    }

    /// Its results; they count as fetched from now on.
    pub fn fetch_all(&self) -> Vec<StoredArtifact> {
        let mut state = locked(&self.state);
        let artifacts = state.artifacts.clone();
        state.fetched.extend(artifacts.iter().map(|stored| stored.artifact.index));
        artifacts
    }

    /// Whether it has results nobody has fetched yet.
    pub fn has_unfetched(&self) -> bool {
        let state = locked(&self.state);
        state.artifacts.len() > state.fetched.len()
    }

    /// One result; it counts as fetched from now on.
    pub fn fetch_artifact(&self, index: u32) -> Option<StoredArtifact> {
        let mut state = locked(&self.state);
        let stored = state.artifacts.iter().find(|stored| stored.artifact.index == index)?.clone();
        state.fetched.insert(index);
        Some(stored)
    }

    /// One result, for this node's own use.
    pub fn read_artifact(&self, index: u32) -> Option<StoredArtifact> {
        let state = locked(&self.state);
        state.artifacts.iter().find(|stored| stored.artifact.index == index).cloned()
    }

    pub(super) fn push(&self, event: NodeEvent) {
        let mut state = locked(&self.state);
        if state.status == NodeJobStatus::Queued && matches!(event, NodeEvent::Started) {
            state.status = NodeJobStatus::Running;
            state.started_at = Some(SystemTime::now());
        }
        if let NodeEvent::Preview { jpeg, .. } = &event {
            state.preview_bytes += jpeg.len() as u64;
        }
        state.events.push(event);
        drop(state);
        self.changed.send_replace(());
    }

    pub(super) fn end(&self, event: NodeEvent, artifacts: Vec<StoredArtifact>, now: Instant) {
        let mut state = locked(&self.state);
        let (event, artifacts) = match state.stop {
            Some(stop) => (stop.cause.event(), Vec::new()),
            None => (event, artifacts),
        };
        state.status = match event {
            NodeEvent::Completed { .. } => NodeJobStatus::Completed,
            NodeEvent::Cancelled => NodeJobStatus::Cancelled,
            _ => NodeJobStatus::Failed,
        };
        state.events.push(event);
        state.artifacts = artifacts;
        let by_calendar = state.stop.map_or_else(SystemTime::now, |stop| stop.at);
        state.ended_at = Some(Ended { by_clock: now, by_calendar });
        drop(state);
        self.changed.send_replace(());
    }

    pub(super) fn events_from(&self, number: u64) -> Vec<NumberedEvent> {
        let state = locked(&self.state);
        let skipped = number.saturating_sub(self.first_number) as usize;
        (self.first_number..)
            .zip(&state.events)
            .skip(skipped)
            .map(|(n, e)| (n, e.clone()))
            .collect()
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
