//! Talking to Supabase as a user (their token, row-level security) or as the service (the secret key).

use std::future::Future;

use serde::de::DeserializeOwned;
use serde_json::Value;
use worker::{js_sys, send::SendFuture};

use super::errors::{Proof, error_of};
use crate::{
    adapters::http_client::{Answer, Call, Unreached},
    caller::AccessToken,
    error::{Error, Result},
};

/// Rows and functions answer in milliseconds; a stuck database must not hold a request for long.
const TIMEOUT_MS: u32 = 10_000;

/// A project, and its two keys.
pub struct SupabaseClient {
    pub url: String,
    pub publishable_key: String,
    pub secret_key: String,
}

/// In whose name a call is made.
#[derive(Clone, Copy)]
pub(super) enum Role<'a> {
    User(&'a AccessToken),
    Service,
}

impl Role<'_> {
    fn proof(self) -> Proof {
        match self {
            Self::User(token) if token.is_ours() => Proof::OurToken,
            Self::User(_) => Proof::PersonsToken,
            Self::Service => Proof::OurKey,
        }
    }
}

impl SupabaseClient {
    /// A call with the keys that its role needs.
    pub(super) fn call(
        &self,
        role: Role<'_>,
        method: &'static str,
        path: &str,
        timeout_ms: u32,
    ) -> Call {
        let call = Call::new(method, format!("{}{path}", self.url), timeout_ms);
        match role {
            Role::User(token) => call
                .header("apikey", self.publishable_key.as_str())
                .header("authorization", format!("Bearer {}", token.reveal())),
            Role::Service => call.header("apikey", self.secret_key.as_str()),
        }
    }

    /// Calls a function of the database.
    pub(super) fn rpc<'a, T: DeserializeOwned>(
        &'a self,
        role: Role<'a>,
        function: &'a str,
        arguments: Value,
    ) -> impl Future<Output = Result<T>> + Send + 'a {
        let path = format!("/rest/v1/rpc/{function}");
        let call = self.call(role, "POST", &path, TIMEOUT_MS).json(&arguments);
        SendFuture::new(async move { parse(&answer_of(role, call).await?) })
    }

    /// Reads rows; `query` begins with the table.
    pub(super) fn select<'a, T: DeserializeOwned>(
        &'a self,
        role: Role<'a>,
        query: String,
    ) -> impl Future<Output = Result<Vec<T>>> + Send + 'a {
        let call = self.call(role, "GET", &format!("/rest/v1/{query}"), TIMEOUT_MS);
        SendFuture::new(async move { parse(&answer_of(role, call).await?) })
    }

    /// Writes rows: `prefer` says what to do about those that are there, and what to answer.
    pub(super) fn write<'a>(
        &'a self,
        role: Role<'a>,
        (method, query): (&'static str, &'a str),
        prefer: &'static str,
        rows: Option<Value>,
    ) -> impl Future<Output = Result<String>> + Send + 'a {
        let path = format!("/rest/v1/{query}");
        let call = self.call(role, method, &path, TIMEOUT_MS).header("prefer", prefer);
        let call = match &rows {
            Some(rows) => call.json(rows),
            None => call,
        };
        SendFuture::new(answer_of(role, call))
    }
}

/// The text of the answer, if it is a success.
async fn answer_of(role: Role<'_>, call: Call) -> Result<String> {
    let answer: Answer = call.send().await.map_err(database_away)?;
    let text = answer.text().await.map_err(database_away)?;
    match answer.is_success() {
        true => Ok(text),
        false => Err(error_of(role.proof(), answer.status(), &text)),
    }
}

fn database_away(cause: Unreached) -> Error {
    Error::unavailable("database", cause.0)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    // Functions that return nothing answer 204.
    let text = if text.is_empty() { "null" } else { text };
    serde_json::from_str(text).map_err(|e| Error::internal(format!("answer of the database: {e}")))
}

/// A value as it may stand in a query.
pub(super) fn encoded(value: &str) -> String {
    js_sys::encode_uri_component(value).into()
}
