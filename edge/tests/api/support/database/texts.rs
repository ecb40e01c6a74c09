//! The functions around `text_runs`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use edge::{
    caller::AccessToken,
    domains::credits::price_of_text,
    error::{Error, Result},
    ports::text::{CacheState, FreeText, NewTextRun, RunPlace, TextBill, TextStore, TextTotals},
};
use shared::ids::{JobId, UserId};

use super::FakeDatabase;

/// A row of `text_runs`.
#[derive(Clone)]
pub struct TextRow {
    pub user_id: UserId,
    pub kind: String,
    pub room: String,
    pub cache: CacheState,
    pub reserved: i64,
    pub credits: i64,
    /// `None` while it runs.
    pub bill: Option<TextBill>,
}

#[async_trait]
impl TextStore for FakeDatabase {
    async fn open(&self, token: &AccessToken, new: &NewTextRun<'_>) -> Result<()> {
        self.call("texts.open", |tables, _| {
            let (user_id, _) = tables.caller(token)?;
            let reserved = price_of_text(new.max_tokens);
            if let Some(row) = tables.texts.get(&new.id) {
                match &row.bill {
                    None => return Ok(()),
                    Some(_) if row.credits == 0 => {}
                    Some(_) => {
                        return Err(Error::Conflict { detail: "this text has ended".to_owned() });
                    }
                }
            }
            let (balance, held) = tables.credits(user_id);
            if balance - held < reserved {
                return Err(Error::NoCredit { balance, reserved: held });
            }
            let row = TextRow {
                user_id,
                kind: new.kind.to_owned(),
                room: new.room.to_owned(),
                cache: CacheState::Miss,
                reserved,
                credits: 0,
                bill: None,
            };
            tables.texts.insert(new.id, row);
            Ok(())
        })
    }

    async fn settle(&self, id: JobId, bill: &TextBill) -> Result<i64> {
        self.call("texts.settle", |tables, _| {
            let row = tables.texts.get_mut(&id).ok_or(Error::NotFound)?;
            if row.bill.is_none() {
                let tokens = bill.usage.prompt_tokens + bill.usage.completion_tokens;
                let cost = price_of_text(tokens).min(row.reserved);
                row.credits = if bill.is_charged { cost } else { 0 };
                row.bill = Some(bill.clone());
                let charge = (row.user_id, id, row.credits);
                tables.charges.push(charge);
            }
            Ok(tables.texts[&id].credits)
        })
    }

    async fn record_free(&self, free: &FreeText<'_>) -> Result<()> {
        self.call("texts.record_free", |tables, _| {
            let row = TextRow {
                user_id: free.user_id,
                kind: free.kind.to_owned(),
                room: free.room.to_owned(),
                cache: free.cache,
                reserved: 0,
                credits: 0,
                bill: Some(TextBill { status: "completed".to_owned(), ..TextBill::default() }),
            };
            tables.texts.entry(free.id).or_insert(row);
            Ok(())
        })
    }

    async fn find(&self, token: &AccessToken, id: JobId) -> Result<Option<RunPlace>> {
        self.call("texts.find", |tables, _| {
            let (user, _) = tables.caller(token)?;
            let row = tables.texts.get(&id).filter(|row| row.user_id == user);
            Ok(row.map(|row| RunPlace { run_id: id, room: row.room.clone() }))
        })
    }

    async fn delete_old(&self) -> Result<Vec<(String, u64)>> {
        self.call("texts.delete_old", |_, _| Ok(Vec::new()))
    }

    async fn totals(&self) -> Result<Vec<TextTotals>> {
        self.call("texts.totals", |tables, _| {
            let mut totals: BTreeMap<(String, String, &str), TextTotals> = BTreeMap::new();
            for row in tables.texts.values() {
                let Some(bill) = &row.bill else { continue };
                let key = (row.kind.clone(), bill.status.clone(), row.cache.as_str());
                let total = totals.entry(key.clone()).or_insert_with(|| TextTotals {
                    kind: key.0,
                    status: key.1,
                    cached: key.2.to_owned(),
                    runs: 0,
                    prompt_tokens: 0,
                    completion_tokens: 0,
                    switches: 0,
                    first_token_ms: 0,
                    duration_ms: 0,
                });
                total.runs += 1;
                total.prompt_tokens += bill.usage.prompt_tokens;
                total.completion_tokens += bill.usage.completion_tokens;
                total.switches += bill.switches;
                total.first_token_ms += bill.first_token_ms.unwrap_or(0);
                total.duration_ms += bill.duration_ms;
            }
            Ok(totals.into_values().collect())
        })
    }
}
