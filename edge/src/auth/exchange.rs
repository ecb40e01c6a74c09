//! Tokens for the database in the names of people whose own ones it can't read. They say no more than was verified, and
//! they never leave the edge but to the database.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use jwt_compact::{Algorithm, AlgorithmSignature, alg};
use serde_json::json;

use crate::caller::{AccessToken, Caller};

/// Longer than a request and the run of a text that it began.
const LIFETIME_S: u64 = 15 * 60;

/// Writes such tokens.
pub(super) struct Exchange {
    key: alg::Hs256Key,
    /// The database's own.
    issuer: String,
}

impl Exchange {
    pub(super) fn new(secret: &str, supabase_url: &str) -> Self {
        Self { key: alg::Hs256Key::new(secret), issuer: format!("{supabase_url}/auth/v1") }
    }

    /// A token for this person.
    pub(super) fn token_for(&self, caller: &Caller, now_s: u64) -> AccessToken {
        let claims = json!({
            "iss": self.issuer, "aud": "authenticated", "role": "authenticated", "sub": caller.user_id,
            "email": caller.email, "app_metadata": { "role": caller.role },
            "iat": now_s, "exp": now_s.saturating_add(LIFETIME_S),
        });
        let header = BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", BASE64.encode(claims.to_string()));
        let signature = alg::Hs256.sign(&self.key, signed.as_bytes());
        AccessToken::new(format!("{signed}.{}", BASE64.encode(signature.as_bytes())))
    }
}
