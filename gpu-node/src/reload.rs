//! Models that this node must have and that did not load are asked for again, ever more seldom, until they do.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{self, Instant};

use crate::{jobs::Jobs, scheduler::LoadState};

/// When a load that failed is tried again: after `first`, doubling, up to `max`.
#[derive(Debug, Clone, Copy)]
pub struct ReloadPace {
    pub first: Duration,
    pub max: Duration,
}

impl Default for ReloadPace {
    fn default() -> Self {
        Self { first: Duration::from_secs(5), max: Duration::from_secs(300) }
    }
}

/// A model's next try.
struct Trial {
    delay: Duration,
    due: Option<Instant>,
}

/// Watches the needed models until the node drains.
pub async fn keep_needed_loading(jobs: Arc<Jobs>, pace: ReloadPace) {
    let mut trials: HashMap<&str, Trial> = HashMap::new();
    while !jobs.is_draining() {
        for model in jobs.catalog.needed() {
            let name = model.manifest.name.as_str();
            let trial = trials.entry(name).or_insert(Trial { delay: pace.first, due: None });
            match (model.status().load, trial.due) {
                (LoadState::Failed(_), None) => trial.due = Some(Instant::now() + trial.delay),
                (LoadState::Failed(_), Some(due)) if Instant::now() >= due => {
                    tracing::info!(model = name, "trying to load the model again");
                    model.control().preload();
                    *trial = Trial { delay: (trial.delay * 2).min(pace.max), due: None };
                }
                (LoadState::Loaded, _) => *trial = Trial { delay: pace.first, due: None },
                _ => {}
            }
        }
        time::sleep(pace.first).await;
    }
}
