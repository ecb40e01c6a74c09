//! One user's credits gate: balance, open reservations, number of jobs under way.
//!
//! The ledger in Postgres is the record. This gate answers at once and is conservative: it may hold a credit too long,
//! and it never refuses on old knowledge; before a refusal it asks for the ledger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::{
    ids::JobId,
    limits::{OPEN_JOBS_PER_USER_MAX, OPEN_TEXTS_PER_USER_MAX},
};

use crate::ports::gates::{LedgerState, Reservation, StoredAnswer};

/// Knowledge older than this is compared with the ledger, which frees what a dead request left held.
const TRUSTED_FOR_MS: u64 = 10 * 60 * 1000;

/// A reservation this young may belong to a row that the ledger does not show yet.
const UNSTORED_FOR_MS: u64 = 60 * 1000;

/// How long an ended job is remembered: longer than any ledger reading stays under way.
const SETTLED_FOR_MS: u64 = 10 * 60 * 1000;

/// Enough for the jobs one user can end in that time; older ones are forgotten first.
const SETTLED_MAX: usize = 64;

/// A call to the object of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum AccountCall {
    Reserve { job: JobId, credits: i64, ledger: Option<LedgerState> },
    ReserveText { run: JobId, credits: i64, ledger: Option<LedgerState> },
    Settle { job: JobId, charged: i64 },
    ForgetBalance,
    BeginKey { key: String, fingerprint: String, job: JobId },
    FinishKey { key: String, answer: Option<StoredAnswer> },
}

/// What is known of a user's credits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountGate {
    balance: i64,
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
        credits: i64,
        ledger: Option<LedgerState>,
        now_ms: u64,
    ) -> Reservation {
        self.hold(job, Held { credits, since_ms: now_ms, of: HeldFor::Job }, ledger)
    }

    /// The same for a text.
    pub fn reserve_text(
        &mut self,
        run: JobId,
        credits: i64,
        ledger: Option<LedgerState>,
        now_ms: u64,
    ) -> Reservation {
        self.hold(run, Held { credits, since_ms: now_ms, of: HeldFor::Text }, ledger)
    }

    fn hold(&mut self, job: JobId, wanted: Held, ledger: Option<LedgerState>) -> Reservation {
        let (credits, now_ms) = (wanted.credits.max(0), wanted.since_ms);
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
        match self.refusal(credits, wanted.of) {
            Some(_) if !is_fresh => Reservation::NeedsLedger,
            Some(refusal) => refusal,
            None => {
                self.open.insert(job, Held { credits, ..wanted });
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
        self.read_at_ms = Some(now_ms);
    }

    fn forget_old(&mut self, now_ms: u64) {
        self.settled.retain(|_, settled| now_ms.saturating_sub(settled.at_ms) < SETTLED_FOR_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::gates::OpenReservation;

    fn job(number: u8) -> JobId {
        JobId::from_random([number; 16])
    }

    fn ledger(balance: i64, open: &[u8]) -> Option<LedgerState> {
        let open_jobs = open.iter().map(|n| OpenReservation { id: job(*n), credits: 1 }).collect();
        Some(LedgerState { balance, open_jobs, open_texts: vec![] })
    }

    fn gate(balance: i64, open: &[u8]) -> AccountGate {
        let mut gate = AccountGate::default();
        gate.rebuild(LedgerState { balance, open_jobs: vec![], open_texts: vec![] }, 0);
        for number in open {
            assert_eq!(gate.reserve(job(*number), 1, None, 0), Reservation::Granted);
        }
        gate
    }

    #[test]
    fn an_empty_account_asks_for_the_ledger_and_then_grants() {
        let mut gate = AccountGate::default();
        assert_eq!(gate.reserve(job(1), 1, None, 0), Reservation::NeedsLedger);
        assert_eq!(gate.reserve(job(1), 1, ledger(1, &[]), 0), Reservation::Granted);
        assert_eq!(gate.reserve(job(1), 1, None, 0), Reservation::Granted);
    }

    #[test]
    fn refuses_only_with_the_ledger_in_hand() {
        let mut gate = gate(1, &[1]);
        assert_eq!(gate.reserve(job(2), 1, None, 1), Reservation::NeedsLedger);
        assert_eq!(
            gate.reserve(job(2), 1, ledger(1, &[1]), 1),
            Reservation::NoCredit { balance: 1, reserved: 1 }
        );
        assert_eq!(gate.reserve(job(2), 1, ledger(5, &[1]), 1), Reservation::Granted);
    }

    #[test]
    fn holds_no_more_than_the_cap_of_open_jobs() {
        let mut gate = gate(100, &[1, 2, 3, 4]);
        assert_eq!(
            gate.reserve(job(5), 1, ledger(100, &[1, 2, 3, 4]), 1),
            Reservation::TooManyOpen { open: 4 }
        );
        gate.settle(job(1), 1, 2);
        assert_eq!(gate.reserve(job(5), 1, None, 3), Reservation::Granted);
    }

    #[test]
    fn texts_have_a_cap_of_their_own() {
        let mut gate = gate(100, &[1, 2, 3, 4]);
        for number in 5..9 {
            assert_eq!(gate.reserve_text(job(number), 2, None, 0), Reservation::Granted);
        }
        assert_eq!(gate.reserved(), 12);
        let mut known = ledger(100, &[1, 2, 3, 4]);
        let texts = (5..9).map(|n| OpenReservation { id: job(n), credits: 2 }).collect();
        known.as_mut().unwrap().open_texts = texts;
        assert_eq!(gate.reserve_text(job(9), 2, known, 1), Reservation::TooManyOpen { open: 4 });
        gate.settle(job(5), 1, 2);
        assert_eq!(gate.reserve_text(job(9), 2, None, 3), Reservation::Granted);
    }

    #[test]
    fn settling_twice_charges_once() {
        let mut gate = gate(3, &[1]);
        gate.settle(job(1), 1, 1);
        gate.settle(job(1), 1, 2);
        assert_eq!((gate.balance, gate.reserved()), (2, 0));
        assert!(gate.read_at_ms.is_some());
    }

    #[test]
    fn a_reservation_given_back_costs_nothing() {
        let mut gate = gate(1, &[1]);
        gate.settle(job(1), 0, 1);
        assert_eq!(gate.reserve(job(2), 1, None, 2), Reservation::Granted);
    }

    #[test]
    fn a_job_given_back_is_held_again_when_it_is_wanted_again() {
        let mut gate = gate(1, &[1]);
        gate.settle(job(1), 0, 1);
        assert_eq!(gate.reserve(job(1), 1, None, 2), Reservation::Granted);
        assert_eq!((gate.balance, gate.reserved()), (1, 1));
        gate.settle(job(1), 1, 3);
        assert_eq!((gate.balance, gate.reserved()), (0, 0));
    }

    #[test]
    fn settling_an_unknown_job_asks_for_the_ledger() {
        let mut gate = gate(3, &[]);
        gate.settle(job(9), 1, 1);
        assert_eq!(gate.reserve(job(2), 1, None, 2), Reservation::NeedsLedger);
    }

    #[test]
    fn a_job_that_ended_after_the_ledger_was_read_is_charged_once() {
        let mut gate = AccountGate::default();
        gate.settle(job(1), 1, 5);
        assert_eq!(gate.reserve(job(2), 1, ledger(2, &[1]), 6), Reservation::Granted);
        assert_eq!((gate.balance, gate.reserved()), (1, 1));
    }

    #[test]
    fn what_a_dead_request_held_is_freed_by_the_ledger_after_a_minute() {
        let mut gate = gate(1, &[1]);
        assert!(matches!(
            gate.reserve(job(2), 1, ledger(1, &[]), UNSTORED_FOR_MS - 1),
            Reservation::NoCredit { .. }
        ));
        assert_eq!(gate.reserve(job(2), 1, ledger(1, &[]), UNSTORED_FOR_MS), Reservation::Granted);
    }

    #[test]
    fn old_knowledge_is_compared_with_the_ledger() {
        let mut gate = gate(10, &[]);
        assert_eq!(gate.reserve(job(1), 1, None, TRUSTED_FOR_MS + 1), Reservation::NeedsLedger);
    }

    #[test]
    fn survives_storage() {
        let mut gate = gate(3, &[1, 2]);
        gate.settle(job(1), 1, 1);
        let stored = serde_json::to_string(&gate).unwrap();
        assert_eq!(serde_json::from_str::<AccountGate>(&stored).unwrap(), gate);
    }

    #[test]
    fn spends_never_more_than_the_balance_under_any_order_of_calls() {
        let mut seed = 7_u64;
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as u8
        };
        for _ in 0..200 {
            let mut gate = gate(5, &[]);
            let mut spent = 0;
            for step in 0..40_u64 {
                let id = job(next() % 12);
                if next() % 2 == 0 {
                    gate.reserve(id, 1, None, step);
                } else if gate.open.contains_key(&id) {
                    gate.settle(id, 1, step);
                    spent += 1;
                }
            }
            assert!(spent + gate.reserved() <= 5, "spent {spent}, held {}", gate.reserved());
        }
    }
}
