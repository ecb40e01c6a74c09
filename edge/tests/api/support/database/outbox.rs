//! The functions around `outbox`.

use async_trait::async_trait;
use edge::{
    caller::AccessToken,
    error::{Error, Result},
    ports::stores::{OutboxOutcome, OutboxRow, OutboxStore},
};

use super::FakeDatabase;

#[async_trait]
impl OutboxStore for FakeDatabase {
    async fn claim(&self, limit: u32, lease_s: u32) -> Result<Vec<OutboxRow>> {
        self.call("outbox.claim", |tables, now_ms| {
            let mut seen = Vec::new();
            let mut claimed = Vec::new();
            for entry in tables.outbox.iter_mut().filter(|entry| entry.row.status == "pending") {
                let is_oldest = entry.row.job_id.is_none() || !seen.contains(&entry.row.job_id);
                seen.push(entry.row.job_id);
                if is_oldest && entry.due_ms <= now_ms && claimed.len() < limit as usize {
                    entry.due_ms = now_ms + u64::from(lease_s) * 1_000;
                    entry.row.attempts += 1;
                    claimed.push(entry.row.clone());
                }
            }
            Ok(claimed)
        })
    }

    async fn settle(&self, id: &str, outcome: OutboxOutcome) -> Result<()> {
        self.call("outbox.settle", |tables, now_ms| {
            let pending = |entry: &&mut super::OutboxEntry| {
                entry.row.id == id && entry.row.status == "pending"
            };
            let Some(entry) = tables.outbox.iter_mut().find(pending) else { return Ok(()) };
            match outcome {
                OutboxOutcome::Delivered => {
                    entry.row.status = "delivered".to_owned();
                    entry.row.last_error = None;
                }
                OutboxOutcome::Retry { error, after_s } => {
                    entry.row.last_error = Some(error);
                    entry.due_ms = now_ms + u64::from(after_s) * 1_000;
                }
                OutboxOutcome::Dead { error } => {
                    entry.row.status = "dead".to_owned();
                    entry.row.last_error = Some(error);
                }
            }
            Ok(())
        })
    }

    async fn list(&self, token: &AccessToken, status: Option<&str>) -> Result<Vec<OutboxRow>> {
        self.call("outbox.list", |tables, _| {
            // Row-level security hides rows rather than refusing.
            if tables.admin(token).is_err() {
                return Ok(Vec::new());
            }
            let rows = tables.outbox.iter().rev().map(|entry| entry.row.clone());
            Ok(rows.filter(|row| status.is_none_or(|status| row.status == status)).collect())
        })
    }

    async fn replay(&self, token: &AccessToken, id: &str) -> Result<bool> {
        self.call("outbox.replay", |tables, now_ms| {
            tables.admin(token)?;
            let Some(entry) = tables.outbox.iter_mut().find(|entry| entry.row.id == id) else {
                return Ok(false);
            };
            if entry.row.status != "dead" {
                return Err(Error::Conflict { detail: "it was not given up".to_owned() });
            }
            entry.row.status = "pending".to_owned();
            entry.row.attempts = 0;
            entry.due_ms = now_ms;
            Ok(true)
        })
    }
}
