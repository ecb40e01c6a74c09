//! What callers may know of a run at one moment, free of any dialect.

use std::time::{Duration, SystemTime};

use shared::node::jobs::{NodeEvent, NodeJobStatus};

/// Why a run was stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// Somebody no longer wants it.
    Asked,
    /// Nobody wanted it after that time.
    Deadline,
    /// Its engine took longer than its caller allowed.
    RunTooLong,
    /// It was older than its caller allowed.
    Expired,
}

impl StopCause {
    /// The event that ends such a run.
    pub(super) fn event(self) -> NodeEvent {
        let detail = match self {
            Self::Asked | Self::Deadline => return NodeEvent::Cancelled,
            Self::RunTooLong => "the job ran longer than it was allowed to",
            Self::Expired => "the job was not done within its time to live",
        };
        let (code, detail) = (TIMED_OUT.to_owned(), detail.to_owned());
        NodeEvent::Failed { code, detail, is_retryable: false }
    }

    fn is_time_out(self) -> bool {
        matches!(self, Self::RunTooLong | Self::Expired)
    }
}

/// The code of a failure that is one of time.
const TIMED_OUT: &str = "timed_out";

/// Where a run stands for its callers: one that was stopped has ended for them, though its engine may not know yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

impl Phase {
    /// Whether nothing more will come of it.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl Phase {
    pub(super) fn of(status: NodeJobStatus, stop: Option<StopCause>) -> Self {
        match (status, stop) {
            (NodeJobStatus::Completed, _) => Self::Completed,
            (_, Some(cause)) if cause.is_time_out() => Self::TimedOut,
            (_, Some(_)) | (NodeJobStatus::Cancelled, _) => Self::Cancelled,
            (NodeJobStatus::Failed, _) => Self::Failed,
            (NodeJobStatus::Running, _) => Self::Running,
            (NodeJobStatus::Queued, _) => Self::Queued,
        }
    }
}

impl From<Phase> for NodeJobStatus {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Queued => Self::Queued,
            Phase::Running => Self::Running,
            Phase::Completed => Self::Completed,
            Phase::Failed | Phase::TimedOut => Self::Failed,
            Phase::Cancelled => Self::Cancelled,
        }
    }
}

/// Where a run stands, without what it holds: cheap enough to look at after every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub phase: Phase,
    /// Its engine has begun.
    pub has_begun: bool,
    /// It has ended for its engine too.
    pub is_over: bool,
}

/// A run at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct RunView {
    pub status: NodeJobStatus,
    pub stop: Option<StopCause>,
    /// Every step that was told, with their number.
    pub steps: Vec<(u32, u32)>,
    /// The event that ended it.
    pub end: Option<NodeEvent>,
    pub created_at: SystemTime,
    pub started_at: Option<SystemTime>,
    /// For its callers: when it was stopped, if it was.
    pub ended_at: Option<SystemTime>,
    pub is_data_removed: bool,
}

impl RunView {
    /// Where it stands.
    pub fn phase(&self) -> Phase {
        Phase::of(self.status, self.stop)
    }

    /// What a person reads about a failure.
    pub fn failure(&self) -> Option<&str> {
        match &self.end {
            Some(NodeEvent::Failed { detail, .. }) => Some(detail),
            _ => None,
        }
    }

    /// How long it waited; up to its end when it never began.
    pub fn waited(&self) -> Option<Duration> {
        let until = self.started_at.or(self.ended_at)?;
        Some(until.duration_since(self.created_at).unwrap_or_default())
    }

    /// How long its engine took; nothing when it never began.
    pub fn ran(&self) -> Option<Duration> {
        let ended_at = self.ended_at?;
        let began = self.started_at.unwrap_or(ended_at);
        Some(ended_at.duration_since(began).unwrap_or_default())
    }
}
