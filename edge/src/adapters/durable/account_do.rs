//! One user's account.
//!
//! Atomic because an object runs one request at a time between two waits, and there is no wait between reading the
//! state, deciding and writing it; and the answer leaves only after the writes are on disk (output gate).

use worker::{
    DurableObject, Env, Request, Response, Result, SqlStorage, SqlStorageValue, State,
    durable_object, wasm_bindgen,
};

use super::{answer, number, open, order, texts};
use crate::{
    adapters::clock::now_ms,
    gates::{
        account::{AccountCall, AccountGate},
        idempotency::{self, KEPT_FOR_MS, KeyRecord},
    },
};

const TABLES: &str = "
    create table if not exists account (id integer primary key check (id = 1), state text not null);
    create table if not exists keys (key text primary key, first_seen_ms integer not null, record text not null);
    create index if not exists keys_by_age on keys (first_seen_ms);
";

/// Reads its state at each call: it is one small row, and so memory and disk never differ.
#[durable_object(fetch)]
pub struct AccountDo {
    sql: SqlStorage,
}

impl DurableObject for AccountDo {
    fn new(state: State, _env: Env) -> Self {
        Self { sql: open(&state, TABLES) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let now_ms = now_ms();
        match order(request).await? {
            AccountCall::Reserve { job, size, ledger } => {
                answer(&self.change(|gate| gate.reserve(job, size, ledger, now_ms))?)
            }
            AccountCall::ReserveText { run, tokens, ledger } => {
                answer(&self.change(|gate| gate.reserve_text(run, tokens, ledger, now_ms))?)
            }
            AccountCall::Settle { job, charged } => {
                answer(&self.change(|gate| gate.settle(job, charged, now_ms))?)
            }
            AccountCall::ForgetBalance => answer(&self.change(AccountGate::forget_balance)?),
            AccountCall::Compare { ledger } => {
                answer(&self.change(|gate| gate.compare(ledger, now_ms))?)
            }
            AccountCall::BeginKey { key, fingerprint, job } => {
                let (state, change) =
                    idempotency::begin_key(self.find_key(&key)?, &fingerprint, job, now_ms);
                if let Some(record) = change {
                    self.keep_key(&key, &record)?;
                    self.forget_old_keys(now_ms)?;
                }
                answer(&state)
            }
            AccountCall::FinishKey { key, answer: kept } => {
                if let Some(mut record) = self.find_key(&key)? {
                    record.finish(kept);
                    self.keep_key(&key, &record)?;
                }
                answer(&())
            }
        }
    }
}

impl AccountDo {
    fn change<T>(&self, decide: impl FnOnce(&mut AccountGate) -> T) -> Result<T> {
        let stored = texts(&self.sql, "select state from account", vec![])?.pop();
        let mut gate: AccountGate = match &stored {
            Some(state) => serde_json::from_str(state)?,
            None => AccountGate::default(),
        };
        let decision = decide(&mut gate);
        let state = serde_json::to_string(&gate)?;
        if stored.as_ref() != Some(&state) {
            self.sql.exec(
                "insert into account values (1, ?) on conflict (id) do update set state = excluded.state",
                vec![state.into()],
            )?;
        }
        Ok(decision)
    }

    fn find_key(&self, key: &str) -> Result<Option<KeyRecord>> {
        let found = texts(&self.sql, "select record from keys where key = ?", vec![key.into()])?;
        Ok(found.first().map(|record| serde_json::from_str(record)).transpose()?)
    }

    fn keep_key(&self, key: &str, record: &KeyRecord) -> Result<()> {
        let values: Vec<SqlStorageValue> =
            vec![key.into(), number(record.first_seen_ms), serde_json::to_string(record)?.into()];
        self.sql.exec("insert or replace into keys values (?, ?, ?)", values)?;
        Ok(())
    }

    fn forget_old_keys(&self, now_ms: u64) -> Result<()> {
        let oldest = number(now_ms.saturating_sub(KEPT_FOR_MS));
        self.sql.exec("delete from keys where first_seen_ms <= ?", vec![oldest])?;
        Ok(())
    }
}
