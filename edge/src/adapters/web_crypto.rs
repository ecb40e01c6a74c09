//! Signatures, verified and made by the runtime: ten times cheaper than in wasm.

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
    ports::auth::{SignatureAlgorithm, Signatures},
};

/// Issuers publish a handful of keys each.
const KEYS_MAX: usize = 32;

/// The members that make a public key; others (`use`, `key_ops`) could make the runtime refuse it.
const PUBLIC_MEMBERS: [&str; 6] = ["kty", "crv", "x", "y", "n", "e"];

/// How ES256 signs.
const ECDSA: &str = r#"{"name":"ECDSA","hash":"SHA-256"}"#;

thread_local! {
    /// A cache that may be empty: keys belong to the isolate, not to a request.
    static KEYS: RefCell<HashMap<String, web_sys::CryptoKey>> = RefCell::default();
}

/// `crypto.subtle`.
pub struct SubtleSignatures;

#[async_trait]
impl Signatures for SubtleSignatures {
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

    async fn sign_es256(&self, jwk: &str, message: &[u8]) -> Result<Vec<u8>> {
        let thrown = |thrown: JsValue| {
            Error::internal(format!("signing for the database: {}", thrown_text(&thrown)))
        };
        let signature = SendFuture::new(sign_es256(jwk, message)).await.map_err(thrown)?;
        signature.ok_or_else(|| Error::internal("the runtime refuses SUPABASE_SIGNING_KEY"))
    }
}

async fn verify(
    algorithm: SignatureAlgorithm,
    jwk: &Value,
    message: &[u8],
    signature: &[u8],
) -> std::result::Result<bool, JsValue> {
    let members: Map<String, Value> = PUBLIC_MEMBERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), jwk.get(name)?.clone())))
        .collect();
    let (subtle, jwk) = (subtle()?, Value::Object(members).to_string());
    let Some(key) = imported(&subtle, algorithm, "verify", &jwk).await? else { return Ok(false) };
    let parameters = parse(match algorithm {
        SignatureAlgorithm::Es256 => ECDSA,
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

/// `None` when it can't be a private key.
async fn sign_es256(jwk: &str, message: &[u8]) -> std::result::Result<Option<Vec<u8>>, JsValue> {
    let subtle = subtle()?;
    let key = imported(&subtle, SignatureAlgorithm::Es256, "sign", jwk).await?;
    let Some(key) = key else { return Ok(None) };
    let message = js_sys::Uint8Array::from(message);
    let promise = subtle.sign_with_object_and_buffer_source(&parse(ECDSA)?, &key, &message)?;
    let signature = JsFuture::from(promise).await?;
    Ok(Some(js_sys::Uint8Array::new(&signature).to_vec()))
}

fn subtle() -> std::result::Result<web_sys::SubtleCrypto, JsValue> {
    let scope: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    Ok(scope.crypto()?.subtle())
}

/// The key, from the cache or freshly imported; `None` when it can't be a key of this algorithm.
async fn imported(
    subtle: &web_sys::SubtleCrypto,
    algorithm: SignatureAlgorithm,
    usage: &str,
    jwk: &str,
) -> std::result::Result<Option<web_sys::CryptoKey>, JsValue> {
    let name = format!("{usage} {algorithm:?} {jwk}");
    if let Some(key) = KEYS.with_borrow(|keys| keys.get(&name).cloned()) {
        return Ok(Some(key));
    }
    let parameters = parse(match algorithm {
        SignatureAlgorithm::Es256 => r#"{"name":"ECDSA","namedCurve":"P-256"}"#,
        SignatureAlgorithm::Rs256 => r#"{"name":"RSASSA-PKCS1-v1_5","hash":"SHA-256"}"#,
        SignatureAlgorithm::EdDsa => r#"{"name":"Ed25519"}"#,
    })?;
    let uses = js_sys::Array::of1(&usage.into());
    let promise = subtle.import_key_with_object("jwk", &parse(jwk)?, &parameters, false, &uses)?;
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
