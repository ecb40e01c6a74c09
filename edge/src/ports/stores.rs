//! Rows in Supabase. Calls with an `AccessToken` run as the user, under row-level security; the others as the service.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{
    api::{
        Page,
        jobs::{Job, JobError, JobKind, JobOutput, JobStatus},
        scenes::Scene,
    },
    ids::{GenerationId, JobId, SceneId, UserId},
};

use super::{NativeResponse, delivery::AuditEntry, gates::LedgerState};
use crate::{caller::AccessToken, error::Result};

/// Which jobs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    pub status: Option<JobStatus>,
    pub kind: Option<JobKind>,
    pub limit: u64,
    pub cursor: Option<String>,
}

/// What is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// The same id twice is the same job.
    pub id: JobId,
    pub kind: JobKind,
    /// Prices are per picture.
    pub pictures: u32,
    pub input: Value,
    /// Whose it is, if an admin orders for somebody.
    pub owner: Option<UserId>,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// Ours until the lease runs out.
    Claimed(Box<Job>),
    /// Somebody else's lease still runs.
    Busy,
    /// It has its end state.
    Ended(Box<Job>),
    Missing,
}

/// The answer to `finish` and `fail`.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// Whether this call made the end, or it was there already.
    pub is_applied: bool,
    pub job: Job,
}

/// The table `jobs`, through its functions.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Idempotent by id for the same owner and input (an image: the same generation).
    async fn create(&self, token: &AccessToken, new: &NewJob) -> Result<Job>;
    /// Removes an image job that never began, as if it had not been ordered; `false` when it has begun.
    async fn withdraw(&self, token: &AccessToken, id: JobId) -> Result<bool>;
    async fn find(&self, token: &AccessToken, id: JobId) -> Result<Option<Job>>;
    async fn list(&self, token: &AccessToken, filter: &JobFilter) -> Result<Page<Job>>;
    async fn cancel(&self, token: &AccessToken, id: JobId) -> Result<Job>;
    async fn remove_finished(&self, token: &AccessToken, older_than_days: u32) -> Result<u64>;
    /// The caller's, or for an admin `of` somebody's.
    async fn ledger(&self, token: &AccessToken, of: Option<UserId>) -> Result<LedgerState>;

    async fn claim(&self, id: JobId, lease_s: u32) -> Result<Claim>;
    /// Keeps the lease; answers the status the job has now, which may be an end.
    async fn report(&self, id: JobId, progress: JobProgress, lease_s: u32) -> Result<JobStatus>;
    /// Back to `queued`; `counts` says whether the attempt is counted.
    async fn release(&self, id: JobId, message: &str, counts: bool) -> Result<()>;
    async fn finish(&self, id: JobId, outputs: &[JobOutput], metadata: &Value) -> Result<Ending>;
    async fn fail(&self, id: JobId, error: &JobError) -> Result<Ending>;
    /// Jobs that were stored but never queued, or whose lease ran out.
    async fn reap(&self, limit: u32, queued_grace_s: u32) -> Result<Vec<JobId>>;
    /// People who did something of late, by id, from after `after`.
    async fn accounts(&self, after: UserId, limit: u32) -> Result<Vec<AccountState>>;
    /// Counts something that was put right, for metrics.
    async fn add_to_counter(&self, counter: &str, by: u64) -> Result<()>;
    /// Numbers per status, for metrics.
    async fn counts(&self) -> Result<Vec<(String, u64)>>;
    /// Deletes what is past its retention; numbers per table.
    async fn delete_old_rows(&self) -> Result<Vec<(String, u64)>>;
}

/// What the ledger says of one person.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccountState {
    pub user_id: UserId,
    #[serde(flatten)]
    pub ledger: LedgerState,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobProgress {
    pub status: JobStatus,
    pub progress: u8,
    pub message: String,
}

/// The table `scenes` and the pictures.
#[async_trait]
pub trait SceneStore: Send + Sync {
    async fn list(
        &self,
        token: &AccessToken,
        limit: u64,
        cursor: Option<&str>,
    ) -> Result<Page<Scene>>;
    async fn find(&self, token: &AccessToken, id: SceneId) -> Result<Option<Scene>>;
    /// Removes row and picture; `false` when there was none of the caller's.
    async fn delete(&self, token: &AccessToken, id: SceneId) -> Result<bool>;
    /// The picture, streamed from storage with the caller's own token.
    async fn picture(&self, token: &AccessToken, scene: &Scene) -> Result<Option<NativeResponse>>;
    /// Paths of files whose job has ended without them.
    async fn stray_files(&self, limit: u32) -> Result<Vec<String>>;
    /// Removes a file as the service; one that isn't there is removed already.
    async fn remove_file(&self, path: &str) -> Result<()>;
}

/// A row of `image_generations`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ImageGeneration {
    pub id: GenerationId,
    pub job_id: JobId,
    pub user_id: UserId,
    /// As last told.
    pub status: JobStatus,
    /// What the last webhook says, before it is put into words.
    pub last_event: Value,
}

/// The table `image_generations`.
#[async_trait]
pub trait ImageStore: Send + Sync {
    /// The caller's, or for an admin anybody's.
    async fn find(&self, token: &AccessToken, id: &GenerationId)
    -> Result<Option<ImageGeneration>>;
}

/// One undelivered message to a third party.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutboxRow {
    pub id: String,
    pub job_id: Option<JobId>,
    pub topic: String,
    pub event: String,
    pub payload: Value,
    pub status: String,
    pub attempts: u32,
    #[serde(default)]
    pub last_error: Option<String>,
    #[serde(default)]
    pub created_at: Option<String>,
}

/// How a delivery went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxOutcome {
    Delivered,
    Retry { error: String, after_s: u32 },
    Dead { error: String },
}

/// The table `outbox`.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Due rows, leased; of each job only its oldest undelivered one.
    async fn claim(&self, limit: u32, lease_s: u32) -> Result<Vec<OutboxRow>>;
    async fn settle(&self, id: &str, outcome: OutboxOutcome) -> Result<()>;
    async fn list(&self, token: &AccessToken, status: Option<&str>) -> Result<Vec<OutboxRow>>;
    /// Puts a dead one back; `false` when there is none.
    async fn replay(&self, token: &AccessToken, id: &str) -> Result<bool>;
}

/// The tables `settings` and `audit_logs`.
#[async_trait]
pub trait AdminStore: Send + Sync {
    async fn setting(&self, token: &AccessToken, key: &str) -> Result<Option<Value>>;
    async fn set_setting(&self, token: &AccessToken, key: &str, value: &Value) -> Result<()>;
    /// Whether the database takes the caller for an admin (`user_roles`).
    async fn is_admin(&self, token: &AccessToken) -> Result<bool>;
    /// Stores entries; one that is there already is left alone.
    async fn add_audit(&self, entries: &[AuditEntry]) -> Result<()>;
    /// Whether the database answers.
    async fn ping(&self) -> Result<()>;
}
