//! The border between the queue and the models: what runs, what it says on the way, how it may end.

use thiserror::Error;

/// A loaded model that turns one input into one output, telling its progress on the way.
pub trait Engine: Send {
    type Input;
    type Event;
    type Output;

    /// Runs to the end on the caller's thread.
    fn run(
        &mut self,
        input: Self::Input,
        sink: &mut dyn Sink<Self::Event>,
    ) -> Result<Self::Output, EngineError>;

    /// Whether `next` may run in one pass with those: each result must be the same as alone.
    fn joins(&self, _together: &[&Self::Input], _next: &Self::Input) -> bool {
        false
    }

    /// Memory that a pass of these takes beyond what the loaded model was counted with.
    fn pass_bytes(&self, _together: &[&Self::Input]) -> u64 {
        0
    }

    /// Runs inputs that join, each told of at its place; one that is stopped ends without the others.
    fn run_together(
        &mut self,
        inputs: Vec<Self::Input>,
        members: &mut dyn Members<Self::Event, Self::Output>,
    ) {
        for (place, input) in inputs.into_iter().enumerate() {
            let result = self.run(input, &mut MemberSink { place, members: &mut *members });
            members.ended(place, result);
        }
    }
}

impl<E: Engine + ?Sized> Engine for Box<E> {
    type Input = E::Input;
    type Event = E::Event;
    type Output = E::Output;

    fn run(
        &mut self,
        input: Self::Input,
        sink: &mut dyn Sink<Self::Event>,
    ) -> Result<Self::Output, EngineError> {
        (**self).run(input, sink)
    }

    fn joins(&self, together: &[&Self::Input], next: &Self::Input) -> bool {
        (**self).joins(together, next)
    }

    fn pass_bytes(&self, together: &[&Self::Input]) -> u64 {
        (**self).pass_bytes(together)
    }

    fn run_together(
        &mut self,
        inputs: Vec<Self::Input>,
        members: &mut dyn Members<Self::Event, Self::Output>,
    ) {
        (**self).run_together(inputs, members);
    }
}

/// Where an engine's events go.
pub trait Sink<E> {
    /// `Err(Stopped)` when nobody wants the result any more: the engine stops at once.
    fn emit(&mut self, event: E) -> Result<(), Stopped>;
}

/// Where the events and ends of several inputs go that run in one pass, each named by its place among them.
pub trait Members<E, O> {
    /// `Err(Stopped)` when nobody wants that one's result any more: the others go on without it.
    fn emit(&mut self, place: usize, event: E) -> Result<(), Stopped>;

    /// That one is over, whatever the others still do.
    fn ended(&mut self, place: usize, result: Result<O, EngineError>);
}

struct MemberSink<'a, E, O> {
    place: usize,
    members: &'a mut dyn Members<E, O>,
}

impl<E, O> Sink<E> for MemberSink<'_, E, O> {
    fn emit(&mut self, event: E) -> Result<(), Stopped> {
        self.members.emit(self.place, event)
    }
}

/// Nobody wants the result any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// How a run ends without a result.
#[derive(Debug, Clone, Error)]
pub enum EngineError {
    #[error("cancelled")]
    Cancelled,
    /// The caller asked for something this model cannot do; the text is safe to show.
    #[error("{0}")]
    InvalidInput(String),
    /// More words than the model or its cache has room for; the text is safe to show.
    #[error("{0}")]
    TooLong(String),
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    #[error("{0}")]
    Failed(String),
}

impl From<Stopped> for EngineError {
    fn from(_: Stopped) -> Self {
        Self::Cancelled
    }
}

impl From<candle_core::Error> for EngineError {
    fn from(error: candle_core::Error) -> Self {
        Self::from_text(message(&error))
    }
}

/// What a driver, its libraries and the system say when there is no memory left.
const OUT_OF_MEMORY: &[&str] =
    &["out of memory", "out_of_memory", "alloc_failed", "cannot allocate memory"];

impl EngineError {
    /// What went wrong, told apart by its words: nothing else tells.
    pub fn from_text(text: String) -> Self {
        let lower = text.to_lowercase();
        if OUT_OF_MEMORY.iter().any(|words| lower.contains(words)) {
            Self::OutOfMemory(text)
        } else {
            Self::Failed(text)
        }
    }
}

/// What went wrong in one line: candle appends a backtrace where those are switched on.
pub(crate) fn message(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_not_there_is_told_apart_by_its_words() {
        for text in [
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
            "unet.safetensors: Cannot allocate memory (os error 12)",
        ] {
            let error = EngineError::from_text(text.to_owned());
            assert!(matches!(error, EngineError::OutOfMemory(_)), "{text}");
        }
        let other = EngineError::from_text("the weights are torn".to_owned());
        assert!(matches!(other, EngineError::Failed(_)));
    }
}
