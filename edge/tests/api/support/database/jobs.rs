//! The functions around `jobs`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use edge::{
    caller::AccessToken,
    error::{Error, Result},
    ports::{
        gates::{LedgerState, OpenReservation},
        stores::{AccountState, Claim, Ending, JobFilter, JobProgress, JobStore, NewJob},
    },
};
use serde_json::{Value, json};
use shared::{
    api::{
        Page,
        jobs::{Job, JobError, JobKind, JobOutput, JobStatus},
    },
    ids::{JobId, UserId},
    limits::JOB_ATTEMPTS_MAX,
};

use super::{FakeDatabase, JobRow, Tables, TextRow, products::scene_of, timestamp};

impl Tables {
    fn open_row(&mut self, id: JobId) -> Option<&mut JobRow> {
        self.jobs.get_mut(&id).filter(|row| !row.job.status.is_end())
    }

    fn end(&mut self, id: JobId, status: JobStatus, now_ms: u64) -> Option<Job> {
        let row = self.open_row(id)?;
        row.job.status = status;
        row.job.finished_at = Some(timestamp(now_ms));
        row.lease_until_ms = None;
        Some(row.job.clone())
    }

    fn fail(&mut self, id: JobId, error: &JobError, now_ms: u64) -> Option<Job> {
        self.end(id, JobStatus::Failed, now_ms)?;
        let row = self.jobs.get_mut(&id)?;
        row.job.error = Some(error.clone());
        let job = row.job.clone();
        self.tell_failure(&job, error, now_ms);
        Some(job)
    }

    fn complete(
        &mut self,
        id: JobId,
        outputs: &[JobOutput],
        metadata: &Value,
        now_ms: u64,
    ) -> Option<Job> {
        self.end(id, JobStatus::Completed, now_ms)?;
        let row = self.jobs.get_mut(&id)?;
        row.job.progress = 100;
        row.job.message = String::new();
        row.job.outputs = outputs.to_vec();
        let (job, credits) = (row.job.clone(), row.job.credits);
        self.charges.push((job.user_id, id, credits));
        match job.kind {
            JobKind::Scene => {
                let path = outputs[0].path.clone();
                self.scenes.push(scene_of(&job, &path));
                let details = json!({"image_path": path, "metadata": metadata});
                self.add_outbox(&job, "completed", details, now_ms);
            }
            JobKind::Image => self.complete_images(&job, metadata, now_ms),
        }
        Some(job)
    }

    /// What a job costs, by kind: the setting `prices`.
    fn prices(&self) -> BTreeMap<String, i64> {
        let set = |kind: &str| self.settings.get("prices").and_then(|prices| prices[kind].as_i64());
        ["scene", "image"].map(|kind| (kind.to_owned(), set(kind).unwrap_or(1))).into()
    }

    fn ledger(&self, user: UserId) -> LedgerState {
        let own = self.jobs.values().filter(|row| row.job.user_id == user);
        let open = own.filter(|row| !row.job.status.is_end());
        let held = |row: &JobRow| OpenReservation { id: row.job.id, credits: row.job.credits };
        let open_jobs = open.map(held).collect();
        let is_open = |text: &&TextRow| text.user_id == user && text.bill.is_none();
        let open_texts = self.texts.iter().filter(|(_, text)| is_open(text));
        let open_texts = open_texts
            .map(|(id, text)| OpenReservation { id: *id, credits: text.reserved })
            .collect();
        LedgerState { balance: self.credits(user).0, open_jobs, open_texts, prices: self.prices() }
    }

    fn ending(&self, id: JobId, applied: Option<Job>) -> Result<Ending> {
        let row = self.jobs.get(&id).ok_or(Error::NotFound)?;
        Ok(Ending { is_applied: applied.is_some(), job: row.job.clone() })
    }
}

#[async_trait]
impl JobStore for FakeDatabase {
    async fn create(&self, token: &AccessToken, new: &NewJob) -> Result<Job> {
        self.call("jobs.create", |tables, now_ms| {
            let NewJob { id, kind, ref input, .. } = *new;
            let user_id = tables.owner(token, new.owner)?;
            if let Some(row) = tables.jobs.get(&id) {
                let is_same = row.job.input == *input
                    || kind == JobKind::Image
                        && row.job.input["generation_id"] == input["generation_id"];
                return match row.job.user_id == user_id && is_same {
                    true => Ok(row.job.clone()),
                    false => Err(Error::Conflict { detail: "another job's id".to_owned() }),
                };
            }
            let (balance, reserved) = tables.credits(user_id);
            let credits = tables.prices()[kind.as_str()] * i64::from(new.pictures);
            if balance - reserved < credits {
                return Err(Error::NoCredit { balance, reserved });
            }
            let job = Job {
                id,
                user_id,
                kind,
                status: JobStatus::Queued,
                progress: 0,
                message: String::new(),
                input: input.clone(),
                outputs: Vec::new(),
                error: None,
                credits,
                attempts: 0,
                created_at: timestamp(now_ms),
                started_at: None,
                finished_at: None,
            };
            if kind == JobKind::Image {
                tables.add_generation(&job, now_ms)?;
            }
            let number = tables.jobs.len() as u64;
            let row =
                JobRow { job: job.clone(), lease_until_ms: None, queued_at_ms: now_ms, number };
            tables.jobs.insert(id, row);
            Ok(job)
        })
    }

    async fn withdraw(&self, token: &AccessToken, id: JobId) -> Result<bool> {
        self.call("jobs.withdraw", |tables, _| {
            let (user, is_admin) = tables.caller(token)?;
            let Some(row) = tables.jobs.get(&id) else { return Ok(false) };
            let is_theirs = row.job.user_id == user || is_admin;
            if !is_theirs || row.job.attempts > 0 || row.job.status != JobStatus::Queued {
                return Ok(false);
            }
            tables.jobs.remove(&id);
            tables.generations.retain(|_, generation| generation.job_id != id);
            Ok(true)
        })
    }

    async fn find(&self, token: &AccessToken, id: JobId) -> Result<Option<Job>> {
        self.call("jobs.find", |tables, _| {
            let (user, _) = tables.caller(token)?;
            Ok(tables
                .jobs
                .get(&id)
                .filter(|row| row.job.user_id == user)
                .map(|row| row.job.clone()))
        })
    }

    async fn list(&self, token: &AccessToken, filter: &JobFilter) -> Result<Page<Job>> {
        self.call("jobs.list", |tables, _| {
            let (user, _) = tables.caller(token)?;
            let before: u64 = match &filter.cursor {
                Some(cursor) => cursor
                    .parse()
                    .map_err(|_| Error::Malformed { detail: "not a cursor of ours".to_owned() })?,
                None => u64::MAX,
            };
            let mut rows: Vec<&JobRow> = tables
                .jobs
                .values()
                .filter(|row| row.job.user_id == user && row.number < before)
                .filter(|row| filter.status.is_none_or(|status| status == row.job.status))
                .filter(|row| filter.kind.is_none_or(|kind| kind == row.job.kind))
                .collect();
            rows.sort_by_key(|row| std::cmp::Reverse(row.number));
            let has_more = rows.len() as u64 > filter.limit;
            rows.truncate(filter.limit as usize);
            let next_cursor = rows.last().filter(|_| has_more).map(|row| row.number.to_string());
            Ok(Page { items: rows.into_iter().map(|row| row.job.clone()).collect(), next_cursor })
        })
    }

    async fn cancel(&self, token: &AccessToken, id: JobId) -> Result<Job> {
        self.call("jobs.cancel", |tables, now_ms| {
            let (user, is_admin) = tables.caller(token)?;
            let row = tables.jobs.get(&id).ok_or(Error::NotFound)?;
            if row.job.user_id != user && !is_admin {
                return Err(Error::NotFound);
            }
            let unchanged = row.job.clone();
            let cancelled = tables.end(id, JobStatus::Cancelled, now_ms);
            if let Some(job) = cancelled.as_ref().filter(|job| job.kind == JobKind::Image) {
                let code = "cancelled".to_owned();
                tables.tell_failure(job, &JobError { detail: code.clone(), code }, now_ms);
            }
            Ok(cancelled.unwrap_or(unchanged))
        })
    }

    async fn remove_finished(&self, token: &AccessToken, _older_than_days: u32) -> Result<u64> {
        self.call("jobs.remove_finished", |tables, _| {
            let (user, is_admin) = tables.caller(token)?;
            let before = tables.jobs.len();
            tables.jobs.retain(|_, row| {
                !row.job.status.is_end() || !(is_admin || row.job.user_id == user)
            });
            Ok((before - tables.jobs.len()) as u64)
        })
    }

    async fn ledger(&self, token: &AccessToken, of: Option<UserId>) -> Result<LedgerState> {
        self.call("jobs.ledger", |tables, _| {
            let owner = tables.owner(token, of)?;
            Ok(tables.ledger(owner))
        })
    }

    async fn claim(&self, id: JobId, lease_s: u32) -> Result<Claim> {
        self.call("jobs.claim", |tables, now_ms| {
            let Some(row) = tables.jobs.get_mut(&id) else { return Ok(Claim::Missing) };
            if row.job.status.is_end() {
                return Ok(Claim::Ended(Box::new(row.job.clone())));
            }
            if row.lease_until_ms.is_some_and(|until_ms| until_ms > now_ms) {
                return Ok(Claim::Busy);
            }
            if row.job.attempts >= JOB_ATTEMPTS_MAX {
                let error = JobError {
                    code: "attempts_exhausted".to_owned(),
                    detail: "gave up".to_owned(),
                };
                let job = tables.fail(id, &error, now_ms).ok_or(Error::NotFound)?;
                return Ok(Claim::Ended(Box::new(job)));
            }
            row.job.status = JobStatus::Initializing;
            row.job.attempts += 1;
            row.job.started_at.get_or_insert_with(|| timestamp(now_ms));
            row.lease_until_ms = Some(now_ms + u64::from(lease_s) * 1_000);
            let job = row.job.clone();
            tables.tell_steps(&job, JobStatus::Initializing, now_ms);
            Ok(Claim::Claimed(Box::new(job)))
        })
    }

    async fn report(&self, id: JobId, progress: JobProgress, lease_s: u32) -> Result<JobStatus> {
        self.call("jobs.report", |tables, now_ms| {
            if let Some(row) = tables.open_row(id) {
                row.job.status = progress.status;
                row.job.progress = row.job.progress.max(progress.progress);
                row.job.message = progress.message;
                row.lease_until_ms = Some(now_ms + u64::from(lease_s) * 1_000);
                let job = row.job.clone();
                tables.tell_steps(&job, progress.status, now_ms);
            }
            tables.jobs.get(&id).map(|row| row.job.status).ok_or(Error::NotFound)
        })
    }

    async fn release(&self, id: JobId, message: &str, counts: bool) -> Result<()> {
        self.call("jobs.release", |tables, now_ms| {
            if let Some(row) = tables.open_row(id) {
                row.job.status = JobStatus::Queued;
                row.job.message = message.to_owned();
                row.lease_until_ms = None;
                row.queued_at_ms = now_ms;
                row.job.attempts -= u32::from(!counts);
            }
            Ok(())
        })
    }

    async fn finish(&self, id: JobId, outputs: &[JobOutput], metadata: &Value) -> Result<Ending> {
        self.call("jobs.finish", |tables, now_ms| {
            if outputs.iter().any(|output| !tables.files.contains_key(&output.path)) {
                return Err(Error::Conflict { detail: "an output is not in storage".to_owned() });
            }
            let applied = tables.complete(id, outputs, metadata, now_ms);
            tables.ending(id, applied)
        })
    }

    async fn fail(&self, id: JobId, error: &JobError) -> Result<Ending> {
        self.call("jobs.fail", |tables, now_ms| {
            let applied = tables.fail(id, error, now_ms);
            tables.ending(id, applied)
        })
    }

    async fn reap(&self, limit: u32, queued_grace_s: u32) -> Result<Vec<JobId>> {
        self.call("jobs.reap", |tables, now_ms| {
            let mut lost = Vec::new();
            for row in tables.jobs.values_mut().filter(|row| !row.job.status.is_end()) {
                let is_lost = match row.job.status {
                    JobStatus::Queued => {
                        row.queued_at_ms + u64::from(queued_grace_s) * 1_000 < now_ms
                    }
                    _ => row.lease_until_ms.is_none_or(|until_ms| until_ms < now_ms),
                };
                if is_lost && lost.len() < limit as usize {
                    row.job.status = JobStatus::Queued;
                    row.lease_until_ms = None;
                    row.queued_at_ms = now_ms;
                    lost.push(row.job.id);
                }
            }
            Ok(lost)
        })
    }

    async fn accounts(&self, after: UserId, limit: u32) -> Result<Vec<AccountState>> {
        self.call("jobs.accounts", |tables, _| {
            let mut users: Vec<UserId> = tables.jobs.values().map(|row| row.job.user_id).collect();
            users.sort();
            users.dedup();
            let page = users.into_iter().filter(|user| *user > after).take(limit as usize);
            let state = |user_id| AccountState { user_id, ledger: tables.ledger(user_id) };
            Ok(page.map(state).collect())
        })
    }

    async fn add_to_counter(&self, counter: &str, by: u64) -> Result<()> {
        self.call("jobs.add_to_counter", |tables, _| {
            *tables.counters.entry(counter.to_owned()).or_default() += by;
            Ok(())
        })
    }

    async fn counts(&self) -> Result<Vec<(String, u64)>> {
        self.call("jobs.counts", |tables, _| {
            let mut counts = BTreeMap::<String, u64>::new();
            for row in tables.jobs.values() {
                *counts.entry(row.job.status.to_string()).or_default() += 1;
            }
            for entry in &tables.outbox {
                *counts.entry(format!("outbox_{}", entry.row.status)).or_default() += 1;
            }
            for (counter, value) in &tables.counters {
                counts.insert(format!("counter_{counter}"), *value);
            }
            Ok(counts.into_iter().collect())
        })
    }

    async fn delete_old_rows(&self) -> Result<Vec<(String, u64)>> {
        self.call("jobs.delete_old_rows", |tables, _| {
            let deleted = tables.audit.len() as u64;
            tables.audit.clear();
            Ok(vec![("audit_logs".to_owned(), deleted)])
        })
    }
}
