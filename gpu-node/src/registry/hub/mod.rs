//! Weights from a hub: pinned by commit, resumed where a transfer broke, checked, and kept where Python looks for them.
//!
//! Blocking: a pull runs on the thread of whoever wants the model.

mod cache;
mod checksum;
mod client;
mod error;
mod leftovers;
mod pull;
mod settings;
mod transfer;

pub(super) use cache::{HubCache, blob_name};
pub(super) use checksum::Checksum;
pub use error::HubError;
pub use leftovers::{Leftover, leftovers_of, remove_leftover};
pub use pull::{PullObserver, mend_model, pull_model, pull_words};
pub use settings::HubSettings;
