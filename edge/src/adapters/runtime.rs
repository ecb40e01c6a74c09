//! The functions of `runtime.js`.

use worker::{
    Env,
    js_sys::Promise,
    wasm_bindgen::{self, JsValue, prelude::wasm_bindgen},
};

#[wasm_bindgen(module = "/src/adapters/runtime.js")]
extern "C" {
    /// Method, address and headers, a line each.
    pub fn head(request: &web_sys::Request) -> String;

    /// An answer with these headers, a line each.
    #[wasm_bindgen(catch)]
    pub fn answer(status: u16, head: &str, body: &JsValue) -> Result<web_sys::Response, JsValue>;

    /// Counts one more for the key.
    #[wasm_bindgen(catch)]
    pub fn count(env: &Env, binding: &str, key: &str) -> Result<Promise, JsValue>;

    /// What became of it.
    pub type Counted;

    #[wasm_bindgen(method, getter, structural)]
    pub fn success(this: &Counted) -> bool;
}
