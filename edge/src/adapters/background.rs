//! Work that goes on after the answer was sent: the runtime is told to wait for it.

use std::{future::Future, pin::Pin};

use worker::{
    js_sys::{Promise, futures::future_to_promise},
    wasm_bindgen::{self, JsValue, prelude::wasm_bindgen},
};

use crate::ports::system::Background;

#[wasm_bindgen(module = "cloudflare:workers")]
extern "C" {
    // The global form, which belongs to the request in progress: ports are shared by all requests of an isolate.
    #[wasm_bindgen(catch, js_name = waitUntil)]
    fn wait_until(promise: &Promise) -> Result<(), JsValue>;
}

/// `waitUntil` of the request in progress.
pub struct WaitUntil;

impl Background for WaitUntil {
    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let promise = future_to_promise(async move {
            work.await;
            Ok(JsValue::UNDEFINED)
        });
        // Outside a request there is nothing to keep alive; the work goes on as long as the isolate does.
        drop(wait_until(&promise));
    }
}
