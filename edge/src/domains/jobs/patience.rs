//! Waiting out short outages of a part behind us, within a bound: longer ones are the queue's to wait out.

use std::future::Future;

use crate::{
    error::{Error, Result},
    ports::system::Clock,
};

/// Waits between tries; together half a minute, the length of a database restart.
const WAITS_MS: [u64; 6] = [500, 1_000, 2_000, 4_000, 8_000, 15_000];

/// Whether the same call may succeed later.
pub fn may_pass(error: &Error) -> bool {
    matches!(
        error,
        Error::Unavailable { .. }
            | Error::Overloaded { .. }
            | Error::RateLimited { .. }
            | Error::Internal { .. }
    )
}

/// Calls until it succeeds, fails for good, or patience ends; the last error is returned.
pub async fn patiently<T, F, Fut>(clock: &dyn Clock, mut call: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    for wait_ms in WAITS_MS {
        match call().await {
            Err(error) if may_pass(&error) => {
                tracing::debug!(%error, wait_ms, "trying again");
                clock.sleep_ms(wait_ms).await;
            }
            settled => return settled,
        }
    }
    call().await
}
