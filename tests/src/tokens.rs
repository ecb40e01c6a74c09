//! Tokens that must not be accepted.

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// The same claims in a token that says it needs no signature.
pub fn unsigned(token: &str) -> Result<String> {
    let claims = token.split('.').nth(1).context("claims")?;
    Ok(format!("{}.{claims}.", encode(&json!({ "alg": "none", "typ": "JWT" }))))
}

/// The same claims signed with HMAC, the issuer's public key taken as the secret.
pub fn signed_with_public_key(token: &str, jwks: &Value) -> Result<String> {
    let key = &jwks["keys"][0];
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": key["kid"] });
    let claims = token.split('.').nth(1).context("claims")?;
    let message = format!("{}.{claims}", encode(&header));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.to_string().as_bytes())?;
    mac.update(message.as_bytes());
    Ok(format!("{message}.{}", BASE64.encode(mac.finalize().into_bytes())))
}

/// Somebody else's id under the old signature.
pub fn with_other_subject(token: &str, subject: &str) -> Result<String> {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut claims: Value =
        serde_json::from_slice(&BASE64.decode(parts.get(1).context("claims")?)?)?;
    claims["sub"] = json!(subject);
    *parts.get_mut(1).context("claims")? = encode(&claims);
    Ok(parts.join("."))
}

fn encode(value: &Value) -> String {
    BASE64.encode(value.to_string())
}
