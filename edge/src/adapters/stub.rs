//! Calling a Durable Object: JSON in, JSON out, and never without a deadline.
//!
//! A panic in an object leaves its caller waiting for good; hence the timeout around every call.

use serde::{Serialize, de::DeserializeOwned};
use worker::{Env, wasm_bindgen::JsValue};

use super::http_client::{Answer, Unreached, within};
use crate::error::{Error, Result};

/// Which object to call.
pub struct Object<'a> {
    pub env: &'a Env,
    pub binding: &'static str,
    /// How it is called in errors.
    pub what: &'static str,
    pub name: &'a str,
}

impl Object<'_> {
    /// Calls the object. A call that broke off is made once more: all calls may be repeated.
    pub async fn call<T: DeserializeOwned>(
        &self,
        order: &impl Serialize,
        timeout_ms: u32,
    ) -> Result<T> {
        let answer = self.fetch(order, timeout_ms).await?;
        let text = match within(timeout_ms, answer.text()).await {
            Some(text) => text.map_err(|e| Error::unavailable(self.what, e.0))?,
            None => return Err(Error::unavailable(self.what, "no answer in time")),
        };
        if !answer.is_success() {
            return Err(Error::unavailable(self.what, text));
        }
        serde_json::from_str(&text).map_err(Error::internal)
    }

    /// Calls the object; its answer's body may be a stream.
    pub async fn fetch(&self, order: &impl Serialize, timeout_ms: u32) -> Result<Answer> {
        let order = serde_json::to_string(order).map_err(Error::internal)?;
        let mut last = None;
        for _ in 0..2 {
            match within(timeout_ms, self.fetch_once(&order)).await {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error)) => last = Some(error.0),
                None => return Err(Error::unavailable(self.what, "no answer in time")),
            }
        }
        Err(Error::unavailable(self.what, last.unwrap_or_default()))
    }

    async fn fetch_once(&self, order: &str) -> std::result::Result<Answer, Unreached> {
        let failed = |e: worker::Error| Unreached(e.to_string());
        let stub = self
            .env
            .durable_object(self.binding)
            .and_then(|namespace| namespace.get_by_name(self.name))
            .map_err(failed)?;
        let mut init = worker::RequestInit::new();
        init.with_method(worker::Method::Post).with_body(Some(JsValue::from_str(order)));
        let request = worker::Request::new_with_init("https://object/", &init).map_err(failed)?;
        let response = stub.fetch_with_request(request).await.map_err(failed)?;
        Ok(Answer { response: response.into() })
    }
}
