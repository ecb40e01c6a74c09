//! The database in memory, with the promises of its functions (`supabase/migrations`): ends happen once, with all
//! their effects; ownership is checked by token; leases, attempts and order per job are kept.

mod jobs;
mod others;
mod outbox;
mod products;
mod texts;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use edge::{
    caller::{AccessToken, Caller},
    error::{Error, Result},
    ports::{
        delivery::AuditEntry,
        stores::{ImageGeneration, OutboxRow},
        system::Clock,
    },
};
use serde_json::Value;
use shared::{
    api::{jobs::Job, scenes::Scene},
    ids::{GenerationId, JobId, UserId},
};

use super::{
    clock::FakeClock,
    faults::{Faults, Part},
};

/// What everyone is given on first use.
pub const WELCOME: i64 = 100;

/// A row of `jobs` with the columns its owner doesn't see.
#[derive(Clone)]
pub struct JobRow {
    pub job: Job,
    pub lease_until_ms: Option<u64>,
    pub queued_at_ms: u64,
    number: u64,
}

/// A row of `outbox` with when it is due.
#[derive(Clone)]
pub struct OutboxEntry {
    pub row: OutboxRow,
    pub due_ms: u64,
}

pub use texts::TextRow;

#[derive(Default)]
pub struct Tables {
    pub jobs: BTreeMap<JobId, JobRow>,
    pub scenes: Vec<Scene>,
    pub generations: BTreeMap<GenerationId, ImageGeneration>,
    pub charges: Vec<(UserId, JobId, i64)>,
    pub outbox: Vec<OutboxEntry>,
    pub audit: Vec<AuditEntry>,
    pub settings: HashMap<String, Value>,
    pub texts: BTreeMap<JobId, TextRow>,
    pub counters: BTreeMap<String, u64>,
    /// Path → the artifact's SHA-256.
    pub files: BTreeMap<String, String>,
    /// The bytes of those that passed through the edge.
    pub bytes: BTreeMap<String, Vec<u8>>,
    pub times_stored: u32,
    callers: HashMap<String, (UserId, bool)>,
    grants: HashMap<UserId, i64>,
    refused_audit: HashSet<String>,
}

/// The tables and the storage behind them.
#[derive(Clone)]
pub struct FakeDatabase {
    clock: FakeClock,
    faults: Faults,
    tables: Arc<Mutex<Tables>>,
}

impl FakeDatabase {
    pub fn new(clock: FakeClock, faults: Faults) -> Self {
        Self { clock, faults, tables: Arc::default() }
    }

    /// Looks into the tables, and changes them behind everybody's back.
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }

    /// Makes a token stand for its caller, as signing in does.
    pub fn sign_in(&self, caller: &Caller) {
        let is_admin = caller.role.as_deref() == Some("admin");
        let token = caller.token.reveal().to_owned();
        self.tables().callers.insert(token, (caller.user_id, is_admin));
    }

    /// Changes what a person was given.
    pub fn grant(&self, user: UserId, credits: i64) {
        self.tables().grants.insert(user, credits);
    }

    /// Makes `add_audit` refuse any batch with this entry.
    pub fn refuse_audit(&self, id: &str) {
        self.tables().refused_audit.insert(id.to_owned());
    }

    /// Stores a file, overwriting.
    pub fn store_file(&self, path: &str, sha256: &str) {
        let mut tables = self.tables();
        tables.times_stored += 1;
        tables.files.insert(path.to_owned(), sha256.to_owned());
    }

    fn call<T>(
        &self,
        name: &'static str,
        act: impl FnOnce(&mut Tables, u64) -> Result<T>,
    ) -> Result<T> {
        let now_ms = self.clock.now_ms();
        self.faults.pass(Part::Database, name, || act(&mut self.tables(), now_ms))
    }
}

impl Tables {
    fn caller(&self, token: &AccessToken) -> Result<(UserId, bool)> {
        let known = self.callers.get(token.reveal()).copied();
        known.ok_or(Error::Unauthenticated { reason: "no such token" })
    }

    fn admin(&self, token: &AccessToken) -> Result<()> {
        match self.caller(token)? {
            (_, true) => Ok(()),
            _ => Err(Error::Forbidden),
        }
    }

    /// Balance of the ledger, and what open jobs reserve.
    fn credits(&self, user: UserId) -> (i64, i64) {
        let charged: i64 = self
            .charges
            .iter()
            .filter(|(of, _, _)| *of == user)
            .map(|(_, _, credits)| credits)
            .sum();
        let reserved: i64 = self
            .jobs
            .values()
            .filter(|row| row.job.user_id == user && !row.job.status.is_end())
            .map(|row| row.job.credits)
            .sum();
        let texts = self.texts.values().filter(|text| text.user_id == user);
        let reserved =
            reserved + texts.filter(|text| text.bill.is_none()).map(|t| t.reserved).sum::<i64>();
        (self.grants.get(&user).copied().unwrap_or(WELCOME) - charged, reserved)
    }
}

/// A time as rows have it.
fn timestamp(now_ms: u64) -> String {
    format!("2026-11-21T12:00:00.{:03}Z", now_ms % 1_000)
}
