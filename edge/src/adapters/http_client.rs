//! Outgoing HTTP with a deadline on every call. Bodies of streams stay in the runtime.

use std::{future::Future, time::Duration};

use futures_util::future::{Either, select};
use worker::{
    Delay, js_sys,
    wasm_bindgen::{JsCast, JsValue},
    wasm_bindgen_futures::JsFuture,
};

/// A call that is about to be made.
pub struct Call {
    method: &'static str,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Option<JsValue>,
    timeout_ms: u32,
    is_stream: bool,
}

/// The other side could not be reached, or did not answer in time.
#[derive(Debug)]
pub struct Unreached(pub String);

/// An answer, whose body is still in the runtime.
pub struct Answer {
    pub response: web_sys::Response,
}

impl Call {
    /// A call that must be over, its body read, within the timeout.
    pub fn new(method: &'static str, url: String, timeout_ms: u32) -> Self {
        Self { method, url, headers: Vec::new(), body: None, timeout_ms, is_stream: false }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn json(mut self, body: &impl serde::Serialize) -> Self {
        // Only maps with keys that aren't text could fail; the other side refuses what is left then.
        let text = serde_json::to_string(body).unwrap_or_default();
        self.body = Some(JsValue::from_str(&text));
        self.header("content-type", "application/json")
    }

    /// Sends a text as it is.
    pub fn text(mut self, body: &str) -> Self {
        self.body = Some(JsValue::from_str(body));
        self
    }

    /// Sends bytes as they are.
    pub fn bytes(mut self, body: &[u8]) -> Self {
        self.body = Some(js_sys::Uint8Array::from(body).into());
        self
    }

    /// Sends what another answer brings, without passing it through Rust.
    pub fn stream(mut self, body: &web_sys::ReadableStream) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The timeout holds until the answer's head only: its body may take as long as it likes.
    pub fn streaming(mut self) -> Self {
        self.is_stream = true;
        self
    }

    /// Makes the call.
    pub async fn send(self) -> Result<Answer, Unreached> {
        let init = web_sys::RequestInit::new();
        init.set_method(self.method);
        let headers: js_sys::Array = self
            .headers
            .iter()
            .map(|(name, value)| js_sys::Array::of2(&(*name).into(), &value.into()))
            .collect();
        init.set_headers(&headers);
        if let Some(body) = &self.body {
            init.set_body(body);
        }
        // A redirect would carry keys and tokens to wherever it points.
        init.set_redirect(web_sys::RequestRedirect::Manual);
        if self.is_stream {
            let controller = web_sys::AbortController::new().map_err(Unreached::from)?;
            init.set_signal(Some(&controller.signal()));
            match within(self.timeout_ms, fetch(&self.url, &init)).await {
                Some(answer) => answer,
                None => {
                    controller.abort();
                    Err(Unreached(format!("no answer within {} ms", self.timeout_ms)))
                }
            }
        } else {
            init.set_signal(Some(&web_sys::AbortSignal::timeout_with_u32(self.timeout_ms)));
            fetch(&self.url, &init).await
        }
    }
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.response.status()
    }

    pub fn is_success(&self) -> bool {
        self.response.ok()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name).ok().flatten()
    }

    /// The `Retry-After` header, when it is a number of seconds.
    pub fn retry_after_s(&self) -> Option<u32> {
        self.header("retry-after")?.trim().parse().ok()
    }

    /// The whole body; for bodies that are known to be small.
    pub async fn text(&self) -> Result<String, Unreached> {
        let promise = self.response.text().map_err(Unreached::from)?;
        let text = JsFuture::from(promise).await.map_err(Unreached::from)?;
        Ok(text.as_string().unwrap_or_default())
    }

    /// The whole body, as bytes; for bodies that are known to fit into memory.
    pub async fn bytes(&self) -> Result<Vec<u8>, Unreached> {
        let promise = self.response.array_buffer().map_err(Unreached::from)?;
        let buffer = JsFuture::from(promise).await.map_err(Unreached::from)?;
        Ok(js_sys::Uint8Array::new(&buffer).to_vec())
    }

    /// Lets go of the body, so that its connection can serve another call.
    pub fn discard(&self) {
        if let Some(body) = self.response.body() {
            drop(body.cancel());
        }
    }
}

impl From<JsValue> for Unreached {
    fn from(thrown: JsValue) -> Self {
        Self(thrown_text(&thrown))
    }
}

/// What was thrown, in words.
pub fn thrown_text(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => thrown.as_string().unwrap_or_else(|| "unknown failure".to_owned()),
    }
}

/// The future's result, unless it takes longer.
pub async fn within<F: Future>(timeout_ms: u32, future: F) -> Option<F::Output> {
    let deadline = Delay::from(Duration::from_millis(timeout_ms.into()));
    match select(std::pin::pin!(future), std::pin::pin!(deadline)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}

async fn fetch(url: &str, init: &web_sys::RequestInit) -> Result<Answer, Unreached> {
    let scope: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let response = JsFuture::from(scope.fetch_with_str_and_init(url, init)).await?;
    Ok(Answer { response: response.dyn_into().map_err(Unreached::from)? })
}
