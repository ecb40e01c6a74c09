//! How many jobs of each model ended in which way, for those who ask after an endpoint's health.

use std::{collections::HashMap, sync::Mutex};

use crate::scheduler::locked;

/// The jobs of one model since the node began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub completed: u64,
    pub failed: u64,
    pub retried: u64,
}

#[derive(Default)]
pub(super) struct Tallies(Mutex<HashMap<String, Tally>>);

impl Tallies {
    pub(super) fn add(&self, model: &str, change: impl FnOnce(&mut Tally)) {
        change(locked(&self.0).entry(model.to_owned()).or_default());
    }

    pub(super) fn of(&self, model: &str) -> Tally {
        locked(&self.0).get(model).copied().unwrap_or_default()
    }
}
