//! What a lane asks for when its model is needed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::engines::EngineError;

/// Brings a model into memory; called on the lane's thread, again after an unload or a panic.
///
/// A closure that loads is one: it needs no files from elsewhere.
pub trait LoadModel<M>: Send {
    /// Has the model's files on this machine before memory is set aside for it, as that may take long; ends with
    /// [`EngineError::Cancelled`] once nobody wants them any more.
    fn fetch(&mut self, _is_wanted: &(dyn Fn() -> bool + Sync)) -> Result<(), EngineError> {
        Ok(())
    }

    /// Reads them.
    fn load(&mut self) -> Result<M, EngineError>;
}

impl<M, F> LoadModel<M> for F
where
    F: FnMut() -> Result<M, EngineError> + Send,
{
    fn load(&mut self) -> Result<M, EngineError> {
        self()
    }
}

/// Calls what may panic: a loader is foreign code with files of any content.
pub(super) fn catch<T>(load: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(load))
        .unwrap_or_else(|_| Err(EngineError::Failed("loading stopped unexpectedly".to_owned())))
}
