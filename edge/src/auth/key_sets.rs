//! An issuer's keys, kept for ten minutes and fetched by one request at a time.

use std::sync::{Arc, Mutex};

use super::{
    VerifierPorts,
    jwk::{Key, matching_key, parse_key_set},
};
use crate::{
    error::{Error, Result},
    ports::auth::SignatureAlgorithm,
};

const FRESH_FOR_MS: u64 = 10 * 60 * 1000;

/// Keys of an issuer that can't be reached still serve, but no longer than this: one of them may have been withdrawn.
const STALE_FOR_MS: u64 = 24 * 60 * 60 * 1000;

/// Between two fetches, so that made-up key names can't make us hammer the issuer.
const FLOOR_MS: u64 = 30 * 1000;

/// The same while no key is known at all: nobody can sign in then, so it is tried more often.
const EMPTY_FLOOR_MS: u64 = 2 * 1000;

/// A fetch older than this is taken for dead: its request was cancelled.
const FETCH_DIES_MS: u64 = 5 * 1000;

/// A request without a key looks this often whether another one's fetch brought it, and no longer than this.
const LOOK_EVERY_MS: u64 = 20;
const PATIENCE_MS: u64 = 8 * 1000;

/// What is known of one issuer's keys.
#[derive(Default)]
pub(super) struct KeySet {
    keys: Option<Vec<Arc<Key>>>,
    fetched_ms: u64,
    last_try_ms: Option<u64>,
    fetching_since_ms: Option<u64>,
}

/// The name in the token's header, and the algorithm it was signed with.
type Wanted<'a> = (Option<&'a str>, SignatureAlgorithm);

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Use(Arc<Key>),
    Fetch,
    /// Somebody else is fetching.
    Wait,
    UnknownKey,
    /// The issuer gave no keys a moment ago.
    NoKeys,
}

/// The answer to a question for a key.
#[derive(Default)]
pub(super) struct Found {
    /// `None` when the issuer has no such key.
    pub(super) key: Option<Arc<Key>>,
    /// Finding it, we learnt that a key of before is gone.
    pub(super) is_any_withdrawn: bool,
}

impl KeySet {
    fn next_step(&mut self, wanted: Wanted<'_>, now_ms: u64) -> Step {
        if now_ms.saturating_sub(self.fetched_ms) >= STALE_FOR_MS {
            self.keys = None;
        }
        let found = self.find(wanted);
        let is_fresh = now_ms.saturating_sub(self.fetched_ms) < FRESH_FOR_MS;
        let is_fetching = self
            .fetching_since_ms
            .is_some_and(|since_ms| now_ms.saturating_sub(since_ms) < FETCH_DIES_MS);
        let floor_ms = if self.keys.is_some() { FLOOR_MS } else { EMPTY_FLOOR_MS };
        let may_fetch = !is_fetching
            && self.last_try_ms.is_none_or(|tried_ms| now_ms.saturating_sub(tried_ms) >= floor_ms);
        match found {
            // An old key still serves while another request, or nobody, can fetch newer ones.
            Some(key) if is_fresh || !may_fetch => Step::Use(key),
            _ if may_fetch => {
                self.fetching_since_ms = Some(now_ms);
                self.last_try_ms = Some(now_ms);
                Step::Fetch
            }
            _ if is_fetching => Step::Wait,
            _ if self.keys.is_none() => Step::NoKeys,
            _ => Step::UnknownKey,
        }
    }

    fn find(&self, (kid, algorithm): Wanted<'_>) -> Option<Arc<Key>> {
        matching_key(self.keys.as_deref()?, kid, algorithm).map(Arc::clone)
    }

    /// Takes over what was fetched; `true` when a key of before is not among it.
    fn keep(&mut self, fetched: Option<Vec<Arc<Key>>>, now_ms: u64) -> bool {
        self.fetching_since_ms = None;
        let Some(keys) = fetched else { return false };
        let before = self.keys.take().unwrap_or_default();
        let is_any_withdrawn = before.iter().any(|key| !keys.contains(key));
        self.keys = Some(keys);
        self.fetched_ms = now_ms;
        is_any_withdrawn
    }
}

/// The key a token asks for.
pub(super) async fn find_key(
    set: &Mutex<KeySet>,
    ports: &VerifierPorts,
    jwks_url: &str,
    wanted: Wanted<'_>,
) -> Result<Found> {
    let mut waited_ms = 0;
    loop {
        let step = lock(set)?.next_step(wanted, ports.clock.now_ms());
        match step {
            Step::Use(key) => return Ok(Found { key: Some(key), ..Found::default() }),
            Step::UnknownKey => return Ok(Found::default()),
            Step::Fetch => return fetch(set, ports, jwks_url, wanted).await,
            Step::Wait if waited_ms < PATIENCE_MS => {
                // Our own timer, not the other request's promise, which we may not await.
                ports.clock.sleep_ms(LOOK_EVERY_MS).await;
                waited_ms += LOOK_EVERY_MS;
            }
            Step::Wait | Step::NoKeys => {
                return Err(Error::unavailable("the token's issuer", "it gave no keys"));
            }
        }
    }
}

async fn fetch(
    set: &Mutex<KeySet>,
    ports: &VerifierPorts,
    jwks_url: &str,
    wanted: Wanted<'_>,
) -> Result<Found> {
    let answer = ports.key_sets.fetch(jwks_url).await;
    let (keys, failure) = match answer {
        Ok(document) => (parse_key_set(&document), "not a key set".to_owned()),
        Err(error) => (None, error.to_string()),
    };
    if keys.is_none() {
        tracing::warn!(jwks_url, failure, "an issuer's keys could not be fetched");
    }
    let mut set = lock(set)?;
    let is_any_withdrawn = set.keep(keys, ports.clock.now_ms());
    if set.keys.is_none() {
        return Err(Error::unavailable("the token's issuer", failure));
    }
    Ok(Found { key: set.find(wanted), is_any_withdrawn })
}

fn lock(set: &Mutex<KeySet>) -> Result<std::sync::MutexGuard<'_, KeySet>> {
    set.lock().map_err(|_| Error::internal("the key set's lock is poisoned"))
}
