//! Answers of the runtime, wrapped so that they can travel through ports and through axum.

use worker::send::SendWrapper;

use super::http_client::Answer;
use crate::ports::{NativeResponse, system::NativeBody};

/// What of an upstream's answer a client may see.
const PASSED_HEADERS: [&str; 5] =
    ["content-type", "content-length", "cache-control", "etag", "last-modified"];

/// The answer with its body untouched.
pub fn native_response(answer: Answer) -> NativeResponse {
    let headers = PASSED_HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), answer.header(name)?)))
        .collect();
    NativeResponse {
        status: answer.status(),
        headers,
        body: NativeBody::Upstream(Box::new(SendWrapper(answer.response))),
    }
}

/// The runtime's answer again, if it is one.
pub fn upstream(body: NativeBody) -> Result<web_sys::Response, Vec<u8>> {
    match body {
        NativeBody::Bytes(bytes) => Err(bytes),
        NativeBody::Upstream(any) => match any.downcast::<SendWrapper<web_sys::Response>>() {
            Ok(response) => Ok(response.0),
            Err(_) => Err(Vec::new()),
        },
    }
}
