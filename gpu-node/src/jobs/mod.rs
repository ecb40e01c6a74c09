//! Jobs as callers know them: created once per id, followed by events, their results fetched.
//!
//! A job runs to its end whether or not anybody follows it, because the edge comes back for it; only `DELETE`, a
//! drain and the end of an [`AwaitedJob`] stop one. What ended is kept for a while and within bounds, so that a caller who comes back finds it.

mod awaited;
mod book;
mod follow;
mod observer;
mod order;
mod origin;
mod room;
mod run;
mod service;
mod tally;
mod view;

pub use awaited::AwaitedJob;
pub use book::{Clock, JobBook, Retention, SystemClock};
pub use order::KeptOrder;
pub use origin::{Callback, CallbackEvents, Dialect, Keep, Origin, Patience};
pub use run::{NumberedEvent, Run, StoredArtifact};
pub use service::{Jobs, Load, Opened};
pub use tally::Tally;
pub use view::{Phase, RunView, Standing, StopCause};
