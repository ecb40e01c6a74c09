//! Staying known to the edge: register until it works, then a heartbeat at the pace the edge asks for.

use std::{sync::Arc, time::Duration};

use shared::api::fleet::Heartbeat;
use tokio::{sync::Notify, task::JoinHandle, time};

use super::client::{EdgeClient, FleetError};
use crate::jobs::Jobs;

/// However the edge answers, neither a busy loop nor silence.
const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 10..=300_000;
/// The goodbye is a courtesy: missed heartbeats say the same later.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often registration is tried again: from `first`, doubling, up to `max`.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub first: Duration,
    pub max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), max: Duration::from_secs(30) }
    }
}

/// A node's place in the fleet, kept by a task of its own.
pub struct Membership {
    client: Arc<EdgeClient>,
    heartbeat_due: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Membership {
    /// Joins in the background.
    pub fn start(client: EdgeClient, jobs: Arc<Jobs>, pace: Pace) -> Self {
        let (client, heartbeat_due) = (Arc::new(client), Arc::new(Notify::new()));
        let task = tokio::spawn(stay(client.clone(), jobs, heartbeat_due.clone(), pace));
        Self { client, heartbeat_due, task }
    }

    /// Sends a heartbeat now, because the node's state changed.
    pub fn announce(&self) {
        self.heartbeat_due.notify_one();
    }

    /// Says goodbye, if the edge is there to hear it.
    pub async fn leave(self) {
        self.task.abort();
        // Otherwise a heartbeat under way could arrive after the goodbye.
        let _ = self.task.await;
        match time::timeout(LEAVE_TIMEOUT, self.client.leave()).await {
            Ok(Ok(())) => tracing::info!("left the fleet"),
            Ok(Err(error)) => tracing::warn!(%error, "left the fleet without a goodbye"),
            Err(_) => tracing::warn!("left the fleet: the edge did not answer the goodbye"),
        }
    }
}

async fn stay(client: Arc<EdgeClient>, jobs: Arc<Jobs>, heartbeat_due: Arc<Notify>, pace: Pace) {
    while !jobs.is_draining() {
        if let Some(interval) = register(&client, &jobs, pace).await {
            beat(&client, &jobs, &heartbeat_due, interval).await;
        }
    }
}

/// The interval of the heartbeats; `None` when the node leaves before it was let in.
async fn register(client: &EdgeClient, jobs: &Jobs, pace: Pace) -> Option<Duration> {
    let mut delay = pace.first;
    while !jobs.is_draining() {
        match client.register().await {
            Ok(registered) => {
                let node_id = &client.node().node_id;
                tracing::info!(%node_id, url = %client.node().url, "joined the fleet");
                let (shortest, longest) = HEARTBEAT_MS.into_inner();
                let interval_ms = registered.heartbeat_interval_ms.clamp(shortest, longest);
                return Some(Duration::from_millis(interval_ms));
            }
            Err(error) => tracing::warn!(%error, "not in the fleet yet"),
        }
        // Spread out, so that a fleet does not come back in one wave after the edge was away.
        time::sleep(delay.mul_f64(rand::random_range(0.5..1.0))).await;
        delay = (delay * 2).min(pace.max);
    }
    None
}

/// Returns when the edge has forgotten this node.
async fn beat(client: &EdgeClient, jobs: &Jobs, heartbeat_due: &Notify, interval: Duration) {
    loop {
        // Early or in time, a heartbeat is due.
        let _ = time::timeout(interval, heartbeat_due.notified()).await;
        let load = jobs.load();
        let heartbeat = Heartbeat {
            running: load.running,
            queued: load.queued,
            is_draining: jobs.is_draining(),
            is_ready: jobs.check_ready(false).is_ok(),
        };
        match client.send_heartbeat(&heartbeat).await {
            Ok(()) => {}
            Err(FleetError::Unknown) => {
                tracing::warn!("the edge has forgotten this node");
                return;
            }
            Err(error) => tracing::warn!(%error, "heartbeat not delivered"),
        }
    }
}
