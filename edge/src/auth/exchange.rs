//! Tokens for the database in the names of people whose own ones it can't read. They say no more than was verified, and
//! they never leave the edge but to the database.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use jwt_compact::{Algorithm, AlgorithmSignature, alg};
use serde_json::{Value, json};

use crate::{
    caller::{AccessToken, Caller},
    config::TokenSigning,
    error::Result,
    ports::auth::Signatures,
};

/// Longer than a request and the run of a text that it began.
const LIFETIME_S: u64 = 15 * 60;

/// Writes such tokens.
pub(super) struct Exchange {
    signing: TokenSigning,
    /// The database's own.
    issuer: String,
}

impl Exchange {
    pub(super) fn new(signing: &TokenSigning, supabase_url: &str) -> Self {
        Self { signing: signing.clone(), issuer: format!("{supabase_url}/auth/v1") }
    }

    /// A token for this person.
    pub(super) async fn token_for(
        &self,
        signatures: &dyn Signatures,
        caller: &Caller,
        now_s: u64,
    ) -> Result<AccessToken> {
        let header = match &self.signing {
            TokenSigning::Es256(key) => json!({ "alg": "ES256", "kid": key.kid, "typ": "JWT" }),
            TokenSigning::Hs256(_) => json!({ "alg": "HS256", "typ": "JWT" }),
        };
        let claims = json!({
            "iss": self.issuer, "aud": "authenticated", "role": "authenticated", "sub": caller.user_id,
            "email": caller.email, "app_metadata": { "role": caller.role },
            "iat": now_s, "exp": now_s.saturating_add(LIFETIME_S),
        });
        let part = |value: Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = match &self.signing {
            TokenSigning::Es256(key) => {
                signatures.sign_es256(key.jwk.reveal(), signed.as_bytes()).await?
            }
            TokenSigning::Hs256(secret) => {
                let key = alg::Hs256Key::new(secret.reveal());
                alg::Hs256.sign(&key, signed.as_bytes()).as_bytes().into_owned()
            }
        };
        Ok(AccessToken::written(format!("{signed}.{}", BASE64.encode(signature))))
    }
}
