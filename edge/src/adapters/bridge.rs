//! Between the runtime's requests and answers and axum's, without the copies and conversions of the crate's own bridge.
//!
//! Headers cross as one JSON text each way, bodies of known size as bytes, and bodies that bypass Rust not at all.

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
    js_sys::{Array, JSON, Reflect, Uint8Array},
    wasm_bindgen::{JsCast, JsValue},
    wasm_bindgen_futures::JsFuture,
};

use super::{http_client::thrown_text, native::upstream};
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
            problem(ErrorCode::InvalidRequest, 400, "The request could not be read.")
        }
    };
    Ok(from_axum(response).await?)
}

/// The answer while the configuration is wrong. What is missing stands in the log, not here.
pub async fn misconfigured() -> worker::Result<web_sys::Response> {
    let detail = "This service is not set up correctly.";
    Ok(from_axum(problem(ErrorCode::Internal, 500, detail)).await?)
}

fn problem(code: ErrorCode, status: u16, detail: &str) -> Response {
    let body = serde_json::to_vec(&ErrorBody::new(code, status, detail)).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let content_type = HeaderValue::from_static(PROBLEM_JSON);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

async fn to_axum(from: &web_sys::Request) -> Result<Request, String> {
    let method: Method = from.method().parse().map_err(|_| "its method".to_owned())?;
    let headers = headers_of(&from.headers())?;
    let body = match method {
        Method::GET | Method::HEAD | Method::OPTIONS => Body::empty(),
        _ => Body::from(body_of(from, &headers).await?),
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri_of(&from.url())?;
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

fn headers_of(from: &web_sys::Headers) -> Result<HeaderMap, String> {
    // One text instead of six calls into the runtime per header.
    let text = JSON::stringify(&Array::from(from)).map_err(|e| thrown_text(&e))?;
    let pairs: Vec<(String, String)> =
        serde_json::from_str(&String::from(text)).map_err(|e| e.to_string())?;
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|e| e.to_string())?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// The body, as far as it is not too large: of one that is, no more is read than proves it.
async fn body_of(from: &web_sys::Request, headers: &HeaderMap) -> Result<Bytes, String> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match announced.and_then(|text| text.parse::<usize>().ok()) {
        // The extractor refuses it by its announced size.
        Some(bytes) if bytes > JSON_BODY_MAX_BYTES => Ok(Bytes::new()),
        Some(0) => Ok(Bytes::new()),
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
    let init = init_of(parts.status, &parts.headers)?;
    let native = parts.extensions.remove::<Upstream>().and_then(|upstream| upstream.take());
    if let Some(Ok(response)) = native.map(upstream) {
        let body = response.body();
        return web_sys::Response::new_with_opt_readable_stream_and_init(body.as_ref(), &init);
    }
    // All bodies that axum makes here are in memory already.
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    if bytes.is_empty() {
        return web_sys::Response::new_with_opt_str_and_init(None, &init);
    }
    // A copy: the runtime keeps what it is given, and the wasm memory moves.
    let bytes = Uint8Array::from(bytes.as_ref());
    web_sys::Response::new_with_opt_buffer_source_and_init(Some(&bytes), &init)
}

fn init_of(status: StatusCode, headers: &HeaderMap) -> Result<web_sys::ResponseInit, JsValue> {
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let headers = serde_json::to_string(&headers).unwrap_or_default();
    let init = format!(r#"{{"status":{},"headers":{headers}}}"#, status.as_u16());
    Ok(JSON::parse(&init)?.unchecked_into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_odd_characters_is_still_an_address() {
        let uri = uri_of("http://a/b?q=`x`&r=%20|").unwrap();
        assert_eq!(uri.path(), "/b");
        assert_eq!(uri.query(), Some("q=%60x%60&r=%20|"));
        assert_eq!(uri_of("http://a:1/api/jobs?x=1").unwrap().query(), Some("x=1"));
    }
}
