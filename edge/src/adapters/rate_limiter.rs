//! The platform's counters. Their numbers stand in `wrangler.toml`, as in `LimitedAction`.

use async_trait::async_trait;
use worker::{Env, js_sys::Reflect, send::SendFuture, wasm_bindgen::JsCast};

use super::http_client::thrown_text;
use crate::{
    error::{Error, Result},
    ports::system::{LimitedAction, RateLimiter},
};

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
        // Looked up directly: `Env::rate_limiter` also asks for the class's name, on every request.
        let limiter: worker::RateLimiter = Reflect::get(&self.env, &binding.into())
            .map_err(|thrown| Error::internal(thrown_text(&thrown)))?
            .unchecked_into();
        // No timer around it: the counters live beside the isolate, and a timer would cost more than they do.
        let outcome = SendFuture::new(limiter.limit(key.to_owned())).await;
        Ok(outcome.map_err(Error::internal)?.success)
    }
}
