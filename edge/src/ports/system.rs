//! Time, chance, work after the answer, limits, and bodies that bypass Rust.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat};

use crate::error::Result;

/// The present, and waiting.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// Comes back after at least `ms` milliseconds.
    async fn sleep_ms(&self, ms: u64);
}

/// A time as answers and records have it.
pub fn rfc3339(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
    time.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Unguessable bytes.
pub trait Random: Send + Sync {
    fn bytes(&self) -> [u8; 16];
}

/// Work that goes on after the answer was sent.
pub trait Background: Send + Sync {
    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>);
}

/// What is limited, with its numbers in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitedAction {
    /// Any request, by IP address.
    RequestByIp,
    /// Any request, by user.
    RequestByUser,
    /// An order for a generation, by user.
    Generate,
}

impl LimitedAction {
    pub const ALL: [Self; 3] = [Self::RequestByIp, Self::RequestByUser, Self::Generate];

    /// The name in the `RateLimit-Policy` field.
    pub fn policy(self) -> &'static str {
        match self {
            Self::RequestByIp => "ip",
            Self::RequestByUser => "user",
            Self::Generate => "generate",
        }
    }

    /// Requests per window; the same numbers stand in `wrangler.toml`, where the runtime reads them.
    pub fn limit(self) -> u32 {
        match self {
            Self::RequestByIp => 600,
            Self::RequestByUser => 300,
            Self::Generate => 30,
        }
    }

    /// The window, in seconds.
    pub fn window_s(self) -> u32 {
        60
    }
}

/// Counts requests per key in fixed windows.
#[async_trait]
pub trait RateLimiter: Send + Sync {
    /// Whether one more is allowed.
    async fn is_allowed(&self, action: LimitedAction, key: &str) -> Result<bool>;
}

/// An answer whose body bypasses Rust. It can be taken once.
pub struct NativeResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: NativeBody,
}

/// Where its bytes are.
pub enum NativeBody {
    /// A fake's bytes.
    Bytes(Vec<u8>),
    /// The runtime's own response, which only the adapters can open.
    Upstream(Box<dyn std::any::Any + Send>),
}

/// A native body on its way through axum, in the extensions of an answer. Whoever hands the answer to the runtime takes
/// it out.
#[derive(Clone)]
pub struct Upstream(Arc<Mutex<Option<NativeBody>>>);

impl Upstream {
    pub fn new(body: NativeBody) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    /// The body, once.
    pub fn take(&self) -> Option<NativeBody> {
        self.0.lock().ok()?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(rfc3339(1_795_248_000_123), "2026-11-21T08:00:00.123Z");
    }
}
