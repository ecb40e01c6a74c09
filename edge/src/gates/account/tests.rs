//! What an account grants, refuses and believes, call by call.

use shared::api::jobs::JobKind;

use super::*;
use crate::ports::gates::OpenReservation;

const SCENE: JobSize = JobSize { kind: JobKind::Scene, pictures: 1 };

fn job(number: u8) -> JobId {
    JobId::from_random([number; 16])
}

fn ledger(balance: i64, open: &[u8]) -> Option<LedgerState> {
    let open_jobs = open.iter().map(|n| OpenReservation { id: job(*n), credits: 1 }).collect();
    Some(LedgerState { balance, open_jobs, open_texts: vec![], prices: BTreeMap::new() })
}

fn gate(balance: i64, open: &[u8]) -> AccountGate {
    let mut gate = AccountGate::default();
    gate.rebuild(ledger(balance, &[]).unwrap(), 0);
    for number in open {
        assert_eq!(gate.reserve(job(*number), SCENE, None, 0), Reservation::Granted);
    }
    gate
}

#[test]
fn an_empty_account_asks_for_the_ledger_and_then_grants() {
    let mut gate = AccountGate::default();
    assert_eq!(gate.reserve(job(1), SCENE, None, 0), Reservation::NeedsLedger);
    assert_eq!(gate.reserve(job(1), SCENE, ledger(1, &[]), 0), Reservation::Granted);
    assert_eq!(gate.reserve(job(1), SCENE, None, 0), Reservation::Granted);
}

#[test]
fn refuses_only_with_the_ledger_in_hand() {
    let mut gate = gate(1, &[1]);
    assert_eq!(gate.reserve(job(2), SCENE, None, 1), Reservation::NeedsLedger);
    assert_eq!(
        gate.reserve(job(2), SCENE, ledger(1, &[1]), 1),
        Reservation::NoCredit { balance: 1, reserved: 1 }
    );
    assert_eq!(gate.reserve(job(2), SCENE, ledger(5, &[1]), 1), Reservation::Granted);
}

#[test]
fn holds_no_more_than_the_cap_of_open_jobs() {
    let mut gate = gate(100, &[1, 2, 3, 4]);
    assert_eq!(
        gate.reserve(job(5), SCENE, ledger(100, &[1, 2, 3, 4]), 1),
        Reservation::TooManyOpen { open: 4 }
    );
    gate.settle(job(1), 1, 2);
    assert_eq!(gate.reserve(job(5), SCENE, None, 3), Reservation::Granted);
}

#[test]
fn texts_have_a_cap_of_their_own() {
    let mut gate = gate(100, &[1, 2, 3, 4]);
    for number in 5..9 {
        assert_eq!(gate.reserve_text(job(number), 1_001, None, 0), Reservation::Granted);
    }
    assert_eq!(gate.reserved(), 12);
    let mut known = ledger(100, &[1, 2, 3, 4]);
    let texts = (5..9).map(|n| OpenReservation { id: job(n), credits: 2 }).collect();
    known.as_mut().unwrap().open_texts = texts;
    assert_eq!(gate.reserve_text(job(9), 2_000, known, 1), Reservation::TooManyOpen { open: 4 });
    gate.settle(job(5), 1, 2);
    assert_eq!(gate.reserve_text(job(9), 2_000, None, 3), Reservation::Granted);
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
    assert_eq!(gate.reserve(job(2), SCENE, None, 2), Reservation::Granted);
}

#[test]
fn a_job_given_back_is_held_again_when_it_is_wanted_again() {
    let mut gate = gate(1, &[1]);
    gate.settle(job(1), 0, 1);
    assert_eq!(gate.reserve(job(1), SCENE, None, 2), Reservation::Granted);
    assert_eq!((gate.balance, gate.reserved()), (1, 1));
    gate.settle(job(1), 1, 3);
    assert_eq!((gate.balance, gate.reserved()), (0, 0));
}

#[test]
fn settling_an_unknown_job_asks_for_the_ledger() {
    let mut gate = gate(3, &[]);
    gate.settle(job(9), 1, 1);
    assert_eq!(gate.reserve(job(2), SCENE, None, 2), Reservation::NeedsLedger);
}

#[test]
fn a_job_that_ended_after_the_ledger_was_read_is_charged_once() {
    let mut gate = AccountGate::default();
    gate.settle(job(1), 1, 5);
    assert_eq!(gate.reserve(job(2), SCENE, ledger(2, &[1]), 6), Reservation::Granted);
    assert_eq!((gate.balance, gate.reserved()), (1, 1));
}

#[test]
fn what_a_dead_request_held_is_freed_by_the_ledger_after_a_minute() {
    let mut gate = gate(1, &[1]);
    assert!(matches!(
        gate.reserve(job(2), SCENE, ledger(1, &[]), UNSTORED_FOR_MS - 1),
        Reservation::NoCredit { .. }
    ));
    assert_eq!(gate.reserve(job(2), SCENE, ledger(1, &[]), UNSTORED_FOR_MS), Reservation::Granted);
}

#[test]
fn old_knowledge_is_compared_with_the_ledger() {
    let mut gate = gate(10, &[]);
    assert_eq!(gate.reserve(job(1), SCENE, None, TRUSTED_FOR_MS + 1), Reservation::NeedsLedger);
}

#[test]
fn holds_what_the_setting_says_a_job_costs() {
    let mut gate = AccountGate::default();
    let mut known = ledger(10, &[]).unwrap();
    known.prices = BTreeMap::from([("scene".to_owned(), 4)]);
    assert_eq!(gate.reserve(job(1), SCENE, Some(known.clone()), 0), Reservation::Granted);
    assert_eq!(gate.reserve(job(2), SCENE, None, 1), Reservation::Granted);
    assert_eq!(gate.reserved(), 8);
    // Dearer meanwhile: a new price counts from the next reading on, and an order keeps its own.
    known.prices = BTreeMap::from([("scene".to_owned(), 1)]);
    assert_eq!(gate.reserve(job(3), SCENE, Some(known), 2), Reservation::Granted);
    assert_eq!(gate.reserved(), 9);
    gate.settle(job(1), 4, 3);
    assert_eq!((gate.balance, gate.reserved()), (6, 5));
}

#[test]
fn a_comparison_corrects_what_drifted_and_says_by_how_much() {
    let mut gate = gate(10, &[1]);
    let later = UNSTORED_FOR_MS + 1;
    // It completed, which the account has not been told yet: nothing drifted.
    assert_eq!(gate.compare(ledger(9, &[]).unwrap(), later), 0);
    gate.settle(job(1), 1, later);
    assert_eq!(gate.reserve(job(2), SCENE, None, later), Reservation::NeedsLedger);
    // A grant, and a reservation that nobody gave back.
    let mut gate = AccountGate { read_at_ms: Some(0), balance: 10, ..gate };
    gate.settled.clear();
    gate.open.insert(job(3), Held { credits: 2, since_ms: 0, of: HeldFor::Job });
    assert_eq!(gate.compare(ledger(15, &[]).unwrap(), later), 7);
    assert_eq!((gate.balance, gate.reserved()), (15, 0));
    assert_eq!(gate.compare(ledger(15, &[]).unwrap(), later), 0);
}

#[test]
fn an_account_that_is_busy_or_knows_nothing_is_not_compared() {
    assert_eq!(AccountGate::default().compare(ledger(5, &[]).unwrap(), 0), 0);
    let mut gate = gate(10, &[1]);
    assert_eq!(gate.compare(ledger(50, &[]).unwrap(), UNSTORED_FOR_MS - 1), 0);
    assert_eq!(gate.balance, 10);
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
                gate.reserve(id, SCENE, None, step);
            } else if gate.open.contains_key(&id) {
                gate.settle(id, 1, step);
                spent += 1;
            }
        }
        assert!(spent + gate.reserved() <= 5, "spent {spent}, held {}", gate.reserved());
    }
}

#[test]
fn a_text_is_held_at_the_price_the_ledger_was_read_with() {
    let mut gate = gate(100, &[]);
    gate.prices.insert(TEXT_PRICE.to_owned(), 4);
    assert_eq!(gate.reserve_text(job(1), 2_100, None, 0), Reservation::Granted);
    assert_eq!(gate.reserved(), 9);
}
