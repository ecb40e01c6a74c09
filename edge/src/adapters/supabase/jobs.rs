//! The table `jobs`, through the database's functions.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{
    api::{
        Page,
        jobs::{Job, JobError, JobOutput, JobStatus, JobsRemoved},
    },
    ids::{JobId, UserId},
};

use super::{
    client::{Role, SupabaseClient},
    pages::{page_of, page_query},
};
use crate::{
    caller::AccessToken,
    error::{Error, Result},
    ports::{
        gates::LedgerState,
        stores::{AccountState, Claim, Ending, JobFilter, JobProgress, JobStore, NewJob},
    },
};

/// Whoever did something within it is compared: several comparisons' time, should one be missed.
const ACTIVE_FOR_S: u32 = 3_600;

/// Jobs in Supabase.
pub struct SupabaseJobStore {
    pub client: Arc<SupabaseClient>,
}

#[derive(Deserialize)]
struct Claimed {
    outcome: String,
    job: Option<Job>,
}

#[derive(Deserialize)]
struct Ended {
    applied: bool,
    job: Option<Job>,
}

#[derive(Deserialize)]
struct StatusNow {
    status: Option<JobStatus>,
}

#[derive(Deserialize)]
struct Withdrawn {
    withdrawn: bool,
}

#[derive(Deserialize)]
struct Reaped {
    id: JobId,
}

impl SupabaseJobStore {
    async fn as_service<T: serde::de::DeserializeOwned>(
        &self,
        function: &str,
        arguments: Value,
    ) -> Result<T> {
        self.client.rpc(Role::Service, function, arguments).await
    }

    async fn end(&self, function: &str, arguments: Value) -> Result<Ending> {
        let ended: Ended = self.as_service(function, arguments).await?;
        let job = ended.job.ok_or(Error::NotFound)?;
        Ok(Ending { is_applied: ended.applied, job })
    }
}

#[async_trait]
impl JobStore for SupabaseJobStore {
    async fn create(&self, token: &AccessToken, new: &NewJob) -> Result<Job> {
        let mut order = json!({ "p_id": new.id, "p_kind": new.kind, "p_input": new.input });
        if let Some(owner) = new.owner {
            order["p_user_id"] = json!(owner);
        }
        self.client.rpc(Role::User(token), "create_job", order).await
    }

    async fn withdraw(&self, token: &AccessToken, id: JobId) -> Result<bool> {
        let order = json!({ "p_id": id });
        let gone: Withdrawn = self.client.rpc(Role::User(token), "withdraw_job", order).await?;
        Ok(gone.withdrawn)
    }

    async fn find(&self, token: &AccessToken, id: JobId) -> Result<Option<Job>> {
        let rows = self.client.select(Role::User(token), format!("jobs?id=eq.{id}")).await?;
        Ok(rows.into_iter().next())
    }

    async fn list(&self, token: &AccessToken, filter: &JobFilter) -> Result<Page<Job>> {
        let mut query = format!("jobs?{}", page_query(filter.limit, filter.cursor.as_deref())?);
        if let Some(status) = filter.status {
            query.push_str(&format!("&status=eq.{status}"));
        }
        if let Some(kind) = filter.kind {
            query.push_str(&format!("&kind=eq.{}", kind.as_str()));
        }
        let rows: Vec<Job> = self.client.select(Role::User(token), query).await?;
        Ok(page_of(rows, filter.limit, |job| (&job.created_at, job.id.0)))
    }

    async fn cancel(&self, token: &AccessToken, id: JobId) -> Result<Job> {
        self.client.rpc(Role::User(token), "cancel_job", json!({ "p_id": id })).await
    }

    async fn remove_finished(&self, token: &AccessToken, older_than_days: u32) -> Result<u64> {
        let age = json!({ "p_older_than_days": older_than_days });
        let removed: JobsRemoved =
            self.client.rpc(Role::User(token), "remove_finished_jobs", age).await?;
        Ok(removed.removed)
    }

    async fn ledger(&self, token: &AccessToken, of: Option<UserId>) -> Result<LedgerState> {
        let whose = of.map_or(json!({}), |owner| json!({ "p_user_id": owner }));
        self.client.rpc(Role::User(token), "get_credits", whose).await
    }

    async fn claim(&self, id: JobId, lease_s: u32) -> Result<Claim> {
        let order = json!({ "p_id": id, "p_lease_seconds": lease_s });
        let claimed: Claimed = self.as_service("claim_job", order).await?;
        match (claimed.outcome.as_str(), claimed.job) {
            ("claimed", Some(job)) => Ok(Claim::Claimed(Box::new(job))),
            ("ended", Some(job)) => Ok(Claim::Ended(Box::new(job))),
            ("busy", _) => Ok(Claim::Busy),
            ("missing", _) => Ok(Claim::Missing),
            (outcome, _) => Err(Error::internal(format!("claim_job answered {outcome}"))),
        }
    }

    async fn report(&self, id: JobId, progress: JobProgress, lease_s: u32) -> Result<JobStatus> {
        let told: Result<StatusNow> = self
            .as_service(
                "report_progress",
                json!({
                    "p_id": id,
                    "p_status": progress.status,
                    "p_progress": progress.progress,
                    "p_message": progress.message,
                    "p_lease_seconds": lease_s,
                }),
            )
            .await;
        match told {
            Ok(now) => Ok(now.status.unwrap_or(JobStatus::Cancelled)),
            // A job that is gone needs nothing more, as one that was cancelled.
            Err(Error::NotFound) => Ok(JobStatus::Cancelled),
            Err(error) => Err(error),
        }
    }

    async fn release(&self, id: JobId, message: &str, counts: bool) -> Result<()> {
        let order = json!({ "p_id": id, "p_message": message, "p_counts": counts });
        self.as_service::<StatusNow>("release_job", order).await.map(drop)
    }

    async fn finish(&self, id: JobId, outputs: &[JobOutput], metadata: &Value) -> Result<Ending> {
        let order = json!({ "p_id": id, "p_outputs": outputs, "p_metadata": metadata });
        self.end("finish_job", order).await
    }

    async fn fail(&self, id: JobId, error: &JobError) -> Result<Ending> {
        let order = json!({ "p_id": id, "p_code": error.code, "p_detail": error.detail });
        self.end("fail_job", order).await
    }

    async fn reap(&self, limit: u32, queued_grace_s: u32) -> Result<Vec<JobId>> {
        let order = json!({ "p_limit": limit, "p_queued_grace_seconds": queued_grace_s });
        let reaped: Vec<Reaped> = self.as_service("reap_jobs", order).await?;
        Ok(reaped.into_iter().map(|job| job.id).collect())
    }

    async fn accounts(&self, after: UserId, limit: u32) -> Result<Vec<AccountState>> {
        let page = json!({ "p_after": after, "p_limit": limit, "p_since_seconds": ACTIVE_FOR_S });
        self.as_service("list_accounts", page).await
    }

    async fn add_to_counter(&self, counter: &str, by: u64) -> Result<()> {
        let order = json!({ "p_name": counter, "p_by": by });
        self.as_service::<Value>("add_to_counter", order).await.map(drop)
    }

    async fn counts(&self) -> Result<Vec<(String, u64)>> {
        let counts: BTreeMap<String, u64> = self.as_service("job_counts", json!({})).await?;
        Ok(counts.into_iter().collect())
    }

    async fn delete_old_rows(&self) -> Result<Vec<(String, u64)>> {
        let deleted: BTreeMap<String, u64> = self.as_service("delete_old_rows", json!({})).await?;
        Ok(deleted.into_iter().collect())
    }
}
