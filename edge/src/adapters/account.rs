//! The user's account, kept by its Durable Object (`durable/account_do.rs`).

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use shared::ids::{JobId, UserId};
use worker::{Env, send::SendFuture};

use super::stub::Object;
use crate::{
    error::Result,
    gates::account::AccountCall,
    ports::gates::{Account, JobSize, KeyState, LedgerState, Reservation, StoredAnswer},
};

/// An object answers in milliseconds; one that starts in another place may need a second.
const TIMEOUT_MS: u32 = 5_000;

/// The objects of class `AccountDo`, one per user.
pub struct DurableAccount {
    pub env: Env,
}

impl DurableAccount {
    async fn call<T: DeserializeOwned>(&self, user: UserId, call: AccountCall) -> Result<T> {
        let name = user.to_string();
        let object = Object { env: &self.env, binding: "ACCOUNT", what: "account", name: &name };
        SendFuture::new(object.call(&call, TIMEOUT_MS)).await
    }
}

#[async_trait]
impl Account for DurableAccount {
    async fn reserve(
        &self,
        user: UserId,
        job: JobId,
        size: JobSize,
        ledger: Option<LedgerState>,
    ) -> Result<Reservation> {
        self.call(user, AccountCall::Reserve { job, size, ledger }).await
    }

    async fn reserve_text(
        &self,
        user: UserId,
        run: JobId,
        tokens: u64,
        ledger: Option<LedgerState>,
    ) -> Result<Reservation> {
        self.call(user, AccountCall::ReserveText { run, tokens, ledger }).await
    }

    async fn settle(&self, user: UserId, job: JobId, charged: i64) -> Result<()> {
        self.call(user, AccountCall::Settle { job, charged }).await
    }

    async fn forget_balance(&self, user: UserId) -> Result<()> {
        self.call(user, AccountCall::ForgetBalance).await
    }

    async fn compare(&self, user: UserId, ledger: LedgerState) -> Result<u64> {
        self.call(user, AccountCall::Compare { ledger }).await
    }

    async fn begin_key(
        &self,
        user: UserId,
        key: &str,
        fingerprint: &str,
        job: JobId,
    ) -> Result<KeyState> {
        let (key, fingerprint) = (key.to_owned(), fingerprint.to_owned());
        self.call(user, AccountCall::BeginKey { key, fingerprint, job }).await
    }

    async fn finish_key(
        &self,
        user: UserId,
        key: &str,
        answer: Option<StoredAnswer>,
    ) -> Result<()> {
        self.call(user, AccountCall::FinishKey { key: key.to_owned(), answer }).await
    }
}
