//! Many sequences, one pass at a time: a paged cache with shared beginnings, prompts read in parts, guesses that are
//! checked, and nobody's answer changed by who else is there.
//!
//! Blocking and single-threaded but for the choosing of tokens; a lane's thread owns a [`Batch`] and calls
//! [`Batch::step`] as long as something runs.

mod batch;
mod blocks;
#[cfg(test)]
pub(crate) mod fake_model;
mod sequence;
mod settings;
mod settle;
mod step;
#[cfg(test)]
mod tests;
mod writer;

pub use batch::{Batch, BatchEvent, LoadedText, News, RequestId, Step, StepFigures};
pub use settings::BatchSettings;
