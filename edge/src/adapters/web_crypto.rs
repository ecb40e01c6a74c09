//! Signatures, verified by the runtime: ten times cheaper than in wasm.

use std::{cell::RefCell, collections::HashMap};

use async_trait::async_trait;
use serde_json::{Map, Value};
use worker::{
    js_sys,
    send::SendFuture,
    wasm_bindgen::{JsCast, JsValue},
    wasm_bindgen_futures::JsFuture,
};

use super::http_client::thrown_text;
use crate::{
    error::{Error, Result},
    ports::auth::{SignatureAlgorithm, SignatureVerifier},
};

/// Issuers publish a handful of keys each.
const KEYS_MAX: usize = 32;

/// The members that make a public key; others (`use`, `key_ops`) could make the runtime refuse it.
const PUBLIC_MEMBERS: [&str; 6] = ["kty", "crv", "x", "y", "n", "e"];

thread_local! {
    /// A cache that may be empty: keys belong to the isolate, not to a request.
    static KEYS: RefCell<HashMap<String, web_sys::CryptoKey>> = RefCell::default();
}

/// `crypto.subtle`.
pub struct SubtleVerifier;

#[async_trait]
impl SignatureVerifier for SubtleVerifier {
    async fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        jwk: &Value,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool> {
        SendFuture::new(verify(algorithm, jwk, message, signature)).await.map_err(|thrown| {
            Error::internal(format!("signature verification: {}", thrown_text(&thrown)))
        })
    }
}

async fn verify(
    algorithm: SignatureAlgorithm,
    jwk: &Value,
    message: &[u8],
    signature: &[u8],
) -> std::result::Result<bool, JsValue> {
    let scope: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let subtle = scope.crypto()?.subtle();
    let Some(key) = imported(&subtle, algorithm, jwk).await? else { return Ok(false) };
    let parameters = parse(match algorithm {
        SignatureAlgorithm::Es256 => r#"{"name":"ECDSA","hash":"SHA-256"}"#,
        SignatureAlgorithm::Rs256 => r#"{"name":"RSASSA-PKCS1-v1_5"}"#,
        SignatureAlgorithm::EdDsa => r#"{"name":"Ed25519"}"#,
    })?;
    let signature = js_sys::Uint8Array::from(signature);
    let message = js_sys::Uint8Array::from(message);
    let promise = subtle.verify_with_object_and_buffer_source_and_buffer_source(
        &parameters,
        &key,
        &signature,
        &message,
    )?;
    Ok(JsFuture::from(promise).await?.is_truthy())
}

/// The key, from the cache or freshly imported; `None` when it can't be a key of this algorithm.
async fn imported(
    subtle: &web_sys::SubtleCrypto,
    algorithm: SignatureAlgorithm,
    jwk: &Value,
) -> std::result::Result<Option<web_sys::CryptoKey>, JsValue> {
    let members: Map<String, Value> = PUBLIC_MEMBERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), jwk.get(name)?.clone())))
        .collect();
    let public = Value::Object(members).to_string();
    let name = format!("{algorithm:?} {public}");
    if let Some(key) = KEYS.with_borrow(|keys| keys.get(&name).cloned()) {
        return Ok(Some(key));
    }
    let parameters = parse(match algorithm {
        SignatureAlgorithm::Es256 => r#"{"name":"ECDSA","namedCurve":"P-256"}"#,
        SignatureAlgorithm::Rs256 => r#"{"name":"RSASSA-PKCS1-v1_5","hash":"SHA-256"}"#,
        SignatureAlgorithm::EdDsa => r#"{"name":"Ed25519"}"#,
    })?;
    let uses = js_sys::Array::of1(&"verify".into());
    let promise =
        subtle.import_key_with_object("jwk", &parse(&public)?, &parameters, false, &uses)?;
    // Whoever else imports the same key meanwhile does so for itself: nobody waits for another request.
    let Ok(key) = JsFuture::from(promise).await else { return Ok(None) };
    let key: web_sys::CryptoKey = key.dyn_into()?;
    KEYS.with_borrow_mut(|keys| {
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(name, key.clone());
    });
    Ok(Some(key))
}

fn parse(json: &str) -> std::result::Result<js_sys::Object, JsValue> {
    js_sys::JSON::parse(json)?.dyn_into()
}
