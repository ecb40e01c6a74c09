//! One job as a lane sees it, and who hears what becomes of it.

use std::sync::Arc;

use shared::ids::JobId;

use crate::engines::{Engine, EngineError};

/// A job on its way into a lane.
pub struct LaneJob<E: Engine> {
    pub id: JobId,
    pub input: E::Input,
    /// How much work it is, in any unit that is the same for all jobs of the lane.
    pub weight: f64,
    pub observer: Arc<dyn Observer<E>>,
}

/// Hears of one job's life: `queued` any number of times, then `started`, `emitted`…, then `ended` once.
///
/// `queued` is called with the lane's lock held, so an observer must not call the lane back.
pub trait Observer<E: Engine>: Send + Sync {
    /// It waits here; called again whenever the place changes.
    fn queued(&self, place: Place);
    /// The model is loaded and the engine begins.
    fn started(&self);
    /// The engine tells its progress.
    fn emitted(&self, event: E::Event);
    /// It is over.
    fn ended(&self, outcome: Outcome<E::Output>);
}

/// Where a job stands in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Jobs that run or wait before it.
    pub position: u32,
    /// Until its end, from the lane's own history; `None` before it has any.
    pub estimated_ms: Option<u64>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<O> {
    Completed {
        output: O,
        /// From admission until the engine began, the model's load included.
        queued_ms: u64,
        run_ms: u64,
    },
    Failed(Failure),
    Cancelled,
}

impl<O> Outcome<O> {
    /// Its label in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "completed",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: &'static str,
    pub detail: String,
    /// Running it again, here or elsewhere, may help.
    pub is_retryable: bool,
}

impl Failure {
    /// The node goes away before the job's turn or end.
    pub fn draining() -> Self {
        Self {
            code: "draining",
            detail: "the node is shutting down".to_owned(),
            is_retryable: true,
        }
    }

    /// The model could not be brought into memory.
    pub fn not_loaded(model: &str, error: &EngineError) -> Self {
        Self {
            code: "model_not_loaded",
            detail: format!("the model {model} could not be loaded: {}", first_line(error)),
            is_retryable: true,
        }
    }

    /// The engine broke a rule of its own; it is loaded afresh for the next job.
    pub fn panicked() -> Self {
        Self {
            code: "engine_panicked",
            detail: "the engine stopped unexpectedly".to_owned(),
            is_retryable: true,
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let (code, is_retryable) = match &error {
            EngineError::InvalidInput(_) => ("invalid_input", false),
            EngineError::TooLong(_) => ("context_too_long", false),
            EngineError::OutOfMemory(_) => ("out_of_memory", false),
            EngineError::Failed(_) => ("engine_failed", true),
            // An engine that stops although nobody asked it to.
            EngineError::Cancelled => ("engine_stopped", true),
        };
        Self { code, detail: first_line(&error), is_retryable }
    }
}

/// What follows is a backtrace, when the process was started with `RUST_BACKTRACE`: nothing for a caller.
pub(super) fn first_line(error: &EngineError) -> String {
    error.to_string().lines().next().unwrap_or_default().trim_end().to_owned()
}

/// Why a job was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Everyone's place is taken; one should be free after that time.
    Full { retry_after_ms: u64 },
    /// The node takes nothing new.
    Draining,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_never_sees_a_backtrace() {
        let error = EngineError::Failed("the card fell off\n   0: engine::Error::new".to_owned());
        assert_eq!(
            Failure::not_loaded("m", &error).detail,
            "the model m could not be loaded: the card fell off"
        );
        assert_eq!(Failure::from(error).detail, "the card fell off");
    }

    #[test]
    fn what_the_caller_got_wrong_or_there_is_no_room_for_is_not_worth_another_try() {
        let is_retryable = |error| Failure::from(error).is_retryable;
        assert!(!is_retryable(EngineError::InvalidInput(String::new())));
        assert!(!is_retryable(EngineError::OutOfMemory(String::new())));
        assert!(is_retryable(EngineError::Failed(String::new())));
    }
}
