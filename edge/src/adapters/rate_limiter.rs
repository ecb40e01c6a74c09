//! The platform's counters. Their numbers stand in `wrangler.toml`, as in `LimitedAction`.

use async_trait::async_trait;
use worker::{Env, send::SendFuture};

use super::http_client::within;
use crate::{
    error::{Error, Result},
    ports::system::{LimitedAction, RateLimiter},
};

/// A counter that doesn't answer must not hold a request up.
const TIMEOUT_MS: u32 = 1_000;

/// The rate-limiting bindings.
pub struct BindingRateLimiter {
    pub env: Env,
}

#[async_trait]
impl RateLimiter for BindingRateLimiter {
    async fn is_allowed(&self, action: LimitedAction, key: &str) -> Result<bool> {
        let binding = match action {
            LimitedAction::RequestByIp => "IP_LIMIT",
            LimitedAction::RequestByUser => "USER_LIMIT",
            LimitedAction::Generate => "GENERATE_LIMIT",
        };
        let limiter = self.env.rate_limiter(binding).map_err(Error::internal)?;
        let asked = within(TIMEOUT_MS, limiter.limit(key.to_owned()));
        match SendFuture::new(asked).await {
            Some(outcome) => Ok(outcome.map_err(Error::internal)?.success),
            None => Err(Error::unavailable("rate limiter", "no answer in time")),
        }
    }
}
