//! A node's event stream, read chunk by chunk from the runtime.

use std::collections::VecDeque;

use async_trait::async_trait;
use shared::node::jobs::NodeEvent;
use worker::{
    js_sys,
    send::{SendFuture, SendWrapper},
    wasm_bindgen::{JsCast, JsValue},
    wasm_bindgen_futures::JsFuture,
};

use super::{
    http_client::{Answer, Unreached, within},
    node_client::unreachable,
    sse::SseParser,
};
use crate::ports::fleet::{NodeEvents, NodeFailure};

/// A node says something every ten seconds, if only that it is still there.
const SILENCE_MAX_MS: u32 = 35_000;

/// Events on their way from a node. Dropping it hangs up.
pub struct FetchedEvents {
    reader: SendWrapper<web_sys::ReadableStreamDefaultReader>,
    parser: SseParser,
    read: VecDeque<NodeEvent>,
}

impl FetchedEvents {
    /// Takes over the body of the answer.
    pub fn open(answer: &Answer) -> Result<Self, NodeFailure> {
        let body = answer.response.body().ok_or_else(|| unreachable("no event stream"))?;
        let reader: web_sys::ReadableStreamDefaultReader = body.get_reader().unchecked_into();
        Ok(Self {
            reader: SendWrapper(reader),
            parser: SseParser::default(),
            read: VecDeque::new(),
        })
    }

    /// The next bytes; `None` at the end of the stream.
    async fn chunk(&self) -> Result<Option<Vec<u8>>, NodeFailure> {
        let read = within(SILENCE_MAX_MS, JsFuture::from(self.reader.read())).await;
        let read = read.ok_or_else(|| unreachable("it fell silent"))?.map_err(Unreached::from)?;
        let member = |name| js_sys::Reflect::get(&read, &JsValue::from_str(name));
        if member("done").map_err(Unreached::from)?.is_truthy() {
            return Ok(None);
        }
        let bytes: js_sys::Uint8Array = member("value")
            .and_then(JsCast::dyn_into)
            .map_err(|_| unreachable("its stream is not one of bytes"))?;
        Ok(Some(bytes.to_vec()))
    }
}

#[async_trait]
impl NodeEvents for FetchedEvents {
    async fn next(&mut self) -> Result<Option<NodeEvent>, NodeFailure> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(Some(event));
            }
            let Some(chunk) = SendFuture::new(self.chunk()).await? else { return Ok(None) };
            let events = self.parser.push(&chunk);
            // Events of a newer node that this edge doesn't know are passed over.
            self.read.extend(events.iter().filter_map(|e| serde_json::from_str(&e.data).ok()));
        }
    }
}

impl Drop for FetchedEvents {
    fn drop(&mut self) {
        drop(self.reader.cancel());
    }
}
