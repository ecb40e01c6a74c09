//! Between the runtime's requests and answers and axum's, without the copies and conversions of the crate's own bridge.
//!
//! Headers cross as one text each way, bodies of known size as bytes, and bodies that bypass Rust not at all.

use std::future::Future;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};
use shared::{
    errors::{ErrorBody, ErrorCode, PROBLEM_JSON},
    limits::JSON_BODY_MAX_BYTES,
};
use worker::{
    js_sys::{Reflect, Uint8Array},
    wasm_bindgen::{JsCast, JsValue},
    wasm_bindgen_futures::JsFuture,
};

use super::{http_client::thrown_text, native::upstream, runtime};
use crate::ports::system::Upstream;

/// Answers a request of the runtime.
pub async fn answer<F: Future<Output = Response>>(
    request: web_sys::Request,
    serve: impl FnOnce(Request) -> F,
) -> worker::Result<web_sys::Response> {
    let response = match to_axum(&request).await {
        Ok(request) => serve(request).await,
        Err(cause) => {
            tracing::info!(cause, "a request could not be read");
            problem(
                ErrorCode::InvalidRequest,
                StatusCode::BAD_REQUEST,
                "The request could not be read.",
            )
        }
    };
    Ok(from_axum(response).await?)
}

/// The answer while the configuration is wrong. What is missing stands in the log, not here.
pub async fn misconfigured() -> worker::Result<web_sys::Response> {
    let detail = "This service is not set up correctly.";
    Ok(from_axum(problem(ErrorCode::Internal, StatusCode::INTERNAL_SERVER_ERROR, detail)).await?)
}

fn problem(code: ErrorCode, status: StatusCode, detail: &str) -> Response {
    let body = ErrorBody::new(code, status.as_u16(), detail);
    let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(PROBLEM_JSON);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

async fn to_axum(from: &web_sys::Request) -> Result<Request, String> {
    let head = runtime::head(from);
    let mut lines = head.split('\n');
    let method = lines.next().unwrap_or_default();
    let method: Method = method.parse().map_err(|_| "its method".to_owned())?;
    let uri = uri_of(lines.next().unwrap_or_default())?;
    let headers = headers_of(lines);
    let body = match method {
        Method::GET | Method::HEAD | Method::OPTIONS => Body::empty(),
        _ => Body::from(body_of(from, &headers).await?),
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Browsers leave some characters as they are that a `Uri` refuses.
fn uri_of(url: &str) -> Result<Uri, String> {
    url.parse().or_else(|_| {
        let escaped: String = url
            .bytes()
            .map(|byte| match byte {
                b'!' | b'#'..=b';' | b'=' | b'?'..=b'_' | b'a'..=b'z' | b'~' => {
                    char::from(byte).to_string()
                }
                byte => format!("%{byte:02X}"),
            })
            .collect();
        escaped.parse().map_err(|_| "its address".to_owned())
    })
}

/// What isn't a header by HTTP's rules, and so names nothing that we look for, is left out.
fn headers_of<'a>(lines: impl Iterator<Item = &'a str>) -> HeaderMap {
    lines
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        })
        .collect()
}

/// The body, as far as it is not too large: of one that is, no more is read than proves it.
async fn body_of(from: &web_sys::Request, headers: &HeaderMap) -> Result<Bytes, String> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match announced.and_then(|text| text.parse::<usize>().ok()) {
        // The extractor refuses it by its announced size.
        Some(bytes) if bytes > JSON_BODY_MAX_BYTES => Ok(Bytes::new()),
        Some(0) => Ok(Bytes::new()),
        Some(_) if is_text(headers) => {
            let promise = from.text().map_err(|e| thrown_text(&e))?;
            let text = JsFuture::from(promise).await.map_err(|e| thrown_text(&e))?;
            Ok(text.as_string().unwrap_or_default().into())
        }
        Some(_) => {
            let promise = from.array_buffer().map_err(|e| thrown_text(&e))?;
            let buffer = JsFuture::from(promise).await.map_err(|e| thrown_text(&e))?;
            Ok(Uint8Array::new(&buffer).to_vec().into())
        }
        None => match from.body() {
            Some(body) => read_up_to(&body, JSON_BODY_MAX_BYTES).await.map_err(|e| thrown_text(&e)),
            None => Ok(Bytes::new()),
        },
    }
}

/// JSON is text by definition, and text costs the runtime half of what a buffer does.
fn is_text(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

async fn read_up_to(body: &web_sys::ReadableStream, max_bytes: usize) -> Result<Bytes, JsValue> {
    let reader: web_sys::ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    while bytes.len() <= max_bytes {
        let read = JsFuture::from(reader.read()).await?;
        if Reflect::get(&read, &"done".into())?.is_truthy() {
            return Ok(bytes.into());
        }
        let chunk: Uint8Array = Reflect::get(&read, &"value".into())?.dyn_into()?;
        bytes.extend_from_slice(&chunk.to_vec());
    }
    drop(reader.cancel());
    Ok(bytes.into())
}

async fn from_axum(response: Response) -> Result<web_sys::Response, JsValue> {
    let (mut parts, body) = response.into_parts();
    let (status, head) = (parts.status.as_u16(), head_of(&parts.headers));
    let native = parts.extensions.remove::<Upstream>().and_then(|upstream| upstream.take());
    if let Some(Ok(response)) = native.map(upstream) {
        let body = response.body().map_or(JsValue::NULL, JsValue::from);
        return runtime::answer(status, &head, &body);
    }
    // All bodies that axum makes here are in memory already.
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let body = match std::str::from_utf8(&bytes) {
        // Some statuses may have no body, not even an empty one.
        Ok("") => JsValue::NULL,
        Ok(text) => JsValue::from_str(text),
        // A copy: the runtime keeps what it is given, and the wasm memory moves.
        Err(_) => Uint8Array::from(bytes.as_ref()).into(),
    };
    runtime::answer(status, &head, &body)
}

fn head_of(headers: &HeaderMap) -> String {
    let mut head = String::with_capacity(1024);
    for (name, value) in headers {
        if let Ok(value) = value.to_str() {
            for part in [name.as_str(), ":", value, "\n"] {
                head.push_str(part);
            }
        }
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_odd_characters_is_still_an_address() {
        let uri = uri_of("http://a/b?q=<x>&r=%20|").unwrap();
        assert_eq!(uri.path(), "/b");
        assert_eq!(uri.query(), Some("q=%3Cx%3E&r=%20%7C"));
        assert_eq!(uri_of("http://a:1/api/jobs?x=1").unwrap().query(), Some("x=1"));
    }
}
