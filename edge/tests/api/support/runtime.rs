//! What the runtime gives a request: chance, work after the answer, counters.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use edge::{
    error::{Error, Result},
    ports::system::{Background, LimitedAction, Random, RateLimiter},
};

/// Bytes that count up, so that ids differ and runs don't.
#[derive(Default)]
pub struct CountingRandom(AtomicU64);

impl Random for CountingRandom {
    fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&(self.0.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes());
        bytes
    }
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Keeps what is to be done after the answer, until the test lets it run.
#[derive(Clone, Default)]
pub struct FakeBackground(Arc<Mutex<Vec<Work>>>);

impl FakeBackground {
    /// Does all of it.
    pub async fn finish(&self) {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap());
        for work in waiting {
            work.await;
        }
    }
}

impl Background for FakeBackground {
    fn spawn(&self, work: Work) {
        self.0.lock().unwrap().push(work);
    }
}

#[derive(Default)]
struct Counters {
    limits: HashMap<LimitedAction, u32>,
    counts: HashMap<(LimitedAction, String), u32>,
    is_broken: bool,
}

/// Counts for ever: there are no windows in a test.
#[derive(Clone, Default)]
pub struct FakeRateLimiter(Arc<Mutex<Counters>>);

impl FakeRateLimiter {
    /// So many are allowed of this action; without a limit, all are.
    pub fn limit(&self, action: LimitedAction, limit: u32) {
        self.0.lock().unwrap().limits.insert(action, limit);
    }

    /// It answers nothing but errors.
    pub fn break_down(&self) {
        self.0.lock().unwrap().is_broken = true;
    }

    /// The keys that were counted for an action.
    pub fn keys(&self, action: LimitedAction) -> Vec<String> {
        let counters = self.0.lock().unwrap();
        let mut keys: Vec<_> = counters
            .counts
            .keys()
            .filter(|(of, _)| *of == action)
            .map(|(_, k)| k.clone())
            .collect();
        keys.sort();
        keys
    }
}

#[async_trait]
impl RateLimiter for FakeRateLimiter {
    async fn is_allowed(&self, action: LimitedAction, key: &str) -> Result<bool> {
        let mut counters = self.0.lock().unwrap();
        if counters.is_broken {
            return Err(Error::unavailable("the counters", "broken"));
        }
        let limit = counters.limits.get(&action).copied().unwrap_or(u32::MAX);
        let count = counters.counts.entry((action, key.to_owned())).or_default();
        *count += 1;
        Ok(*count <= limit)
    }
}
