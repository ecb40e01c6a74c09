//! One user's credits gate: balance, open reservations, number of jobs under way.
//!
//! The ledger in Postgres is the record. This gate answers at once and is conservative: it may hold a credit too long,
//! and it never refuses on old knowledge; before a refusal it asks for the ledger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::{
    ids::JobId,
    limits::{
        JOB_CREDITS_DEFAULT, OPEN_JOBS_PER_USER_MAX, OPEN_TEXTS_PER_USER_MAX,
        TEXT_CREDITS_PER_1000_TOKENS,
    },
};

use crate::ports::gates::{JobSize, LedgerState, Reservation, StoredAnswer, price_of_tokens};

/// Knowledge older than this is compared with the ledger, which frees what a dead request left held.
const TRUSTED_FOR_MS: u64 = 10 * 60 * 1000;

/// A reservation this young may belong to a row that the ledger does not show yet.
const UNSTORED_FOR_MS: u64 = 60 * 1000;

/// How long an ended job is remembered: longer than any ledger reading stays under way.
const SETTLED_FOR_MS: u64 = 10 * 60 * 1000;

/// Enough for the jobs one user can end in that time; older ones are forgotten first.
const SETTLED_MAX: usize = 64;

/// The name of a text's price among those of jobs.
const TEXT_PRICE: &str = "text_per_1000_tokens";

/// A call to the object of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum AccountCall {
    Reserve {
        job: JobId,
        #[serde(flatten)]
        size: JobSize,
        ledger: Option<LedgerState>,
    },
    ReserveText {
        run: JobId,
        tokens: u64,
        ledger: Option<LedgerState>,
    },
    Settle {
        job: JobId,
        charged: i64,
    },
    ForgetBalance,
    Compare {
        ledger: LedgerState,
    },
    BeginKey {
        key: String,
        fingerprint: String,
        job: JobId,
    },
    FinishKey {
        key: String,
        answer: Option<StoredAnswer>,
    },
}

/// What is known of a user's credits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountGate {
    balance: i64,
    /// What new jobs cost, by kind, as of the same reading.
    #[serde(default)]
    prices: BTreeMap<String, i64>,
    /// When the ledger was last read; `None` when nothing is known.
    read_at_ms: Option<u64>,
    open: BTreeMap<JobId, Held>,
    settled: BTreeMap<JobId, Settled>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    credits: i64,
    since_ms: u64,
    #[serde(default)]
    of: HeldFor,
}

/// Jobs and texts are capped apart: a conversation goes on while pictures are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HeldFor {
    #[default]
    Job,
    Text,
}

impl HeldFor {
    fn open_max(self) -> u64 {
        match self {
            Self::Job => OPEN_JOBS_PER_USER_MAX,
            Self::Text => OPEN_TEXTS_PER_USER_MAX,
        }
    }
}

/// What is to be held: a job's by its kind, a text's by its tokens.
#[derive(Debug, Clone, Copy)]
enum Price {
    Of(JobSize),
    Text(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Settled {
    charged: i64,
    at_ms: u64,
}

impl AccountGate {
    /// Holds credits for a job, if there are enough and not too many jobs are under way.
    pub fn reserve(
        &mut self,
        job: JobId,
        size: JobSize,
        ledger: Option<LedgerState>,
        now_ms: u64,
    ) -> Reservation {
        self.hold(job, Price::Of(size), ledger, now_ms)
    }

    /// The same for a text of so many tokens at most.
    pub fn reserve_text(
        &mut self,
        run: JobId,
        tokens: u64,
        ledger: Option<LedgerState>,
        now_ms: u64,
    ) -> Reservation {
        self.hold(run, Price::Text(tokens), ledger, now_ms)
    }

    fn hold(
        &mut self,
        job: JobId,
        price: Price,
        ledger: Option<LedgerState>,
        now_ms: u64,
    ) -> Reservation {
        self.forget_old(now_ms);
        let is_fresh = ledger.is_some();
        if let Some(ledger) = ledger {
            self.rebuild(ledger, now_ms);
        }
        if self.open.contains_key(&job) {
            return Reservation::Granted;
        }
        match self.settled.get(&job) {
            Some(settled) if settled.charged > 0 => return Reservation::Granted,
            // Given back after a failure, and wanted again under the same id: it must be held again.
            Some(_) => self.settled.remove(&job),
            None => None,
        };
        let Some(read_at_ms) = self.read_at_ms else { return Reservation::NeedsLedger };
        if now_ms.saturating_sub(read_at_ms) > TRUSTED_FOR_MS {
            return Reservation::NeedsLedger;
        }
        let (credits, of) = match price {
            Price::Of(size) => (self.price_of(size), HeldFor::Job),
            Price::Text(tokens) => {
                let price = self.prices.get(TEXT_PRICE).copied();
                (
                    price_of_tokens(tokens, price.unwrap_or(TEXT_CREDITS_PER_1000_TOKENS)),
                    HeldFor::Text,
                )
            }
        };
        match self.refusal(credits, of) {
            Some(_) if !is_fresh => Reservation::NeedsLedger,
            Some(refusal) => refusal,
            None => {
                self.open.insert(job, Held { credits, since_ms: now_ms, of });
                Reservation::Granted
            }
        }
    }

    /// Ends a reservation; repeating it does nothing.
    pub fn settle(&mut self, job: JobId, charged: i64, now_ms: u64) {
        self.forget_old(now_ms);
        if self.settled.contains_key(&job) {
            return;
        }
        if self.open.remove(&job).is_some() {
            self.balance = self.balance.saturating_sub(charged);
        } else {
            // Whether the balance has this charge is unknown: the ledger knows.
            self.read_at_ms = None;
        }
        self.settled.insert(job, Settled { charged, at_ms: now_ms });
        while self.settled.len() > SETTLED_MAX {
            let oldest = self.settled.iter().min_by_key(|(_, settled)| settled.at_ms);
            let Some(oldest) = oldest.map(|(job, _)| *job) else { break };
            self.settled.remove(&oldest);
        }
    }

    /// Makes the next reservation ask for the ledger.
    pub fn forget_balance(&mut self) {
        self.read_at_ms = None;
    }

    /// Takes over what the ledger says; answers by how many credits it was wrong about what may be spent. That does not
    /// change when a job completes, so the ledger may be ahead. While orders come and go, the two can't be compared.
    pub fn compare(&mut self, ledger: LedgerState, now_ms: u64) -> u64 {
        let is_recent = |at_ms: u64| now_ms.saturating_sub(at_ms) < UNSTORED_FOR_MS;
        let is_busy = self.open.values().any(|held| is_recent(held.since_ms))
            || self.settled.values().any(|settled| is_recent(settled.at_ms));
        if self.read_at_ms.is_none() || is_busy {
            return 0;
        }
        let believed = self.balance.saturating_sub(self.reserved());
        self.rebuild(ledger, now_ms);
        self.balance.saturating_sub(self.reserved()).abs_diff(believed)
    }

    fn price_of(&self, size: JobSize) -> i64 {
        let each = self.prices.get(size.kind.as_str()).copied();
        each.unwrap_or(JOB_CREDITS_DEFAULT).max(0).saturating_mul(size.pictures.into())
    }

    fn reserved(&self) -> i64 {
        self.open.values().fold(0, |sum, held| sum.saturating_add(held.credits))
    }

    fn refusal(&self, credits: i64, of: HeldFor) -> Option<Reservation> {
        let open = self.open.values().filter(|held| held.of == of).count() as u64;
        if open >= of.open_max() {
            return Some(Reservation::TooManyOpen { open });
        }
        let reserved = self.reserved();
        let is_enough = self.balance.saturating_sub(reserved) >= credits;
        (!is_enough).then_some(Reservation::NoCredit { balance: self.balance, reserved })
    }

    /// Takes over what the ledger says, together with what it could not know when it was read.
    fn rebuild(&mut self, ledger: LedgerState, now_ms: u64) {
        let mut open = BTreeMap::new();
        let mut balance = ledger.balance;
        let jobs = ledger.open_jobs.into_iter().map(|job| (job, HeldFor::Job));
        let texts = ledger.open_texts.into_iter().map(|text| (text, HeldFor::Text));
        for (reservation, of) in jobs.chain(texts) {
            // It ended after the ledger was read: its charge is still missing from the balance.
            if let Some(settled) = self.settled.get(&reservation.id) {
                balance = balance.saturating_sub(settled.charged);
                continue;
            }
            let since_ms = self.open.get(&reservation.id).map_or(now_ms, |held| held.since_ms);
            open.insert(reservation.id, Held { credits: reservation.credits, since_ms, of });
        }
        for (job, held) in std::mem::take(&mut self.open) {
            if now_ms.saturating_sub(held.since_ms) < UNSTORED_FOR_MS {
                open.entry(job).or_insert(held);
            }
        }
        self.open = open;
        self.balance = balance;
        self.prices = ledger.prices;
        self.read_at_ms = Some(now_ms);
    }

    fn forget_old(&mut self, now_ms: u64) {
        self.settled.retain(|_, settled| now_ms.saturating_sub(settled.at_ms) < SETTLED_FOR_MS);
    }
}

#[cfg(test)]
mod tests;
