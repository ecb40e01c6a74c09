//! The runtime's clock. It stands still while code runs and moves on with each wait, by the platform's design.

use std::time::Duration;

use async_trait::async_trait;
use worker::{Date, Delay, send::SendFuture};

use crate::ports::system::Clock;

/// Longest single timer: they count milliseconds in 31 bits.
const SLEEP_MAX_MS: u64 = i32::MAX as u64;

/// Time, as the runtime tells it.
pub struct WorkerClock;

#[async_trait]
impl Clock for WorkerClock {
    fn now_ms(&self) -> u64 {
        now_ms()
    }

    async fn sleep_ms(&self, ms: u64) {
        SendFuture::new(Delay::from(Duration::from_millis(ms.min(SLEEP_MAX_MS)))).await;
    }
}

/// Milliseconds since 1970, also for the objects, which have no ports.
pub fn now_ms() -> u64 {
    Date::now().as_millis()
}
