//! The body of an answer, read chunk by chunk from the runtime.

use worker::{
    js_sys,
    send::{SendFuture, SendWrapper},
    wasm_bindgen::{JsCast, JsValue},
    wasm_bindgen_futures::JsFuture,
};

use super::http_client::{Answer, Unreached, within};
use crate::ports::fleet::NodeFailure;

/// Bytes on their way from a node. Dropping it hangs up.
pub struct ByteStream(SendWrapper<web_sys::ReadableStreamDefaultReader>);

impl ByteStream {
    /// Takes over the body of the answer.
    pub fn open(answer: &Answer) -> Result<Self, NodeFailure> {
        let body =
            answer.response.body().ok_or_else(|| NodeFailure::unreachable("no event stream"))?;
        Ok(Self(SendWrapper(body.get_reader().unchecked_into())))
    }

    /// The next bytes; `None` at the end of the stream.
    pub async fn next(&self, silence_max_ms: u32) -> Result<Option<Vec<u8>>, NodeFailure> {
        SendFuture::new(self.read(silence_max_ms)).await
    }

    async fn read(&self, silence_max_ms: u32) -> Result<Option<Vec<u8>>, NodeFailure> {
        let read = within(silence_max_ms, JsFuture::from(self.0.read())).await;
        let read = read
            .ok_or_else(|| NodeFailure::unreachable("it fell silent"))?
            .map_err(Unreached::from)?;
        let member = |name| js_sys::Reflect::get(&read, &JsValue::from_str(name));
        if member("done").map_err(Unreached::from)?.is_truthy() {
            return Ok(None);
        }
        let bytes: js_sys::Uint8Array = member("value")
            .and_then(JsCast::dyn_into)
            .map_err(|_| NodeFailure::unreachable("its stream is not one of bytes"))?;
        Ok(Some(bytes.to_vec()))
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        drop(self.0.cancel());
    }
}
