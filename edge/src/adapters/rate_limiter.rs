//! The platform's counters. Their numbers stand in `wrangler.toml`, as in `LimitedAction`.

use async_trait::async_trait;
use worker::{
    Env,
    send::SendFuture,
    wasm_bindgen::{JsCast, JsValue},
    wasm_bindgen_futures::JsFuture,
};

use super::{
    http_client::thrown_text,
    runtime::{Counted, count},
};
use crate::{
    error::{Error, Result},
    ports::system::{LimitedAction, RateLimiter},
};

/// The rate-limiting bindings.
pub struct BindingRateLimiter {
    pub env: Env,
}

impl BindingRateLimiter {
    /// No timer around it: the counters live beside the isolate, and a timer would cost more than they do.
    async fn ask(&self, binding: &str, key: &str) -> std::result::Result<bool, JsValue> {
        let counted = JsFuture::from(count(&self.env, binding, key)?).await?;
        Ok(counted.unchecked_into::<Counted>().success())
    }
}

#[async_trait]
impl RateLimiter for BindingRateLimiter {
    async fn is_allowed(&self, action: LimitedAction, key: &str) -> Result<bool> {
        let binding = match action {
            LimitedAction::RequestByIp => "IP_LIMIT",
            LimitedAction::RequestByUser => "USER_LIMIT",
            LimitedAction::Generate => "GENERATE_LIMIT",
        };
        let asked = SendFuture::new(self.ask(binding, key)).await;
        asked.map_err(|thrown| Error::internal(thrown_text(&thrown)))
    }
}
