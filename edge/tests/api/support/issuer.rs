//! An issuer of tokens: it signs whatever claims a test wants, and publishes its keys.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use edge::{
    config::{IssuerConfig, Secret, TokenAlgorithm},
    error::{Error, Result},
    ports::{auth::KeySetSource, system::Clock},
};
use jwt_compact::{Algorithm, AlgorithmSignature, alg};
use serde_json::{Value, json};

use super::{clock::FakeClock, keys::KeyPair, world::caller};

pub const ISSUER: &str = "https://auth.example/auth/v1";
pub const AUDIENCE: &str = "authenticated";
pub const JWKS_URL: &str = "https://auth.example/auth/v1/.well-known/jwks.json";
pub const HS256_SECRET: &str = "a secret that only these tests know";

/// What the app is told of this issuer.
pub fn issuer_config() -> IssuerConfig {
    use TokenAlgorithm::{EdDsa, Es256, Hs256, Rs256};
    IssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: Some(AUDIENCE.to_owned()),
        authorized_parties: Vec::new(),
        algorithms: vec![Hs256, Es256, Rs256, EdDsa],
        jwks_url: Some(JWKS_URL.to_owned()),
        hs256_secret: Some(Secret::new(HS256_SECRET)),
        is_foreign: false,
    }
}

/// The claims of a person, valid for an hour.
pub fn claims(clock: &FakeClock, number: u8, role: Option<&str>) -> Value {
    let now_s = clock.now_ms() / 1000;
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": caller(number, None).user_id.to_string(),
        "role": "authenticated", "email": format!("person-{number}@example.org"),
        "app_metadata": {"role": role, "provider": "email"}, "user_metadata": {"role": "admin"},
        "iat": now_s, "exp": now_s + 3600, "session_id": "0c0c2f5e-3b7f-4b30-a54c-2d4a6a9f1f6e",
    })
}

/// A token with any header and claims, signed by `sign`.
pub fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| BASE64.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = BASE64.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A token signed with a secret.
pub fn hs256_token(claims: &Value, secret: &[u8]) -> String {
    token(&json!({"alg": "HS256", "typ": "JWT"}), claims, |signed| hs256(signed, secret))
}

pub fn hs256(signed: &[u8], secret: &[u8]) -> Vec<u8> {
    alg::Hs256.sign(&alg::Hs256Key::new(secret), signed).as_bytes().to_vec()
}

/// A token signed with a key pair, under a key's name.
pub fn signed_token(claims: &Value, key: &KeyPair, kid: &str) -> String {
    let header = json!({"alg": key.alg(), "typ": "JWT", "kid": kid});
    token(&header, claims, |signed| key.sign(signed))
}

struct Published {
    document: Value,
    is_away: bool,
    takes_ms: u64,
    fetches: u32,
}

/// Where issuers publish their keys.
#[derive(Clone)]
pub struct FakeKeySets {
    clock: FakeClock,
    published: Arc<Mutex<Published>>,
}

impl FakeKeySets {
    pub fn new(clock: FakeClock) -> Self {
        let document = json!({"keys": []});
        let published = Published { document, is_away: false, takes_ms: 0, fetches: 0 };
        Self { clock, published: Arc::new(Mutex::new(published)) }
    }

    pub fn publish(&self, keys: Vec<Value>) {
        self.published.lock().unwrap().document = json!({"keys": keys});
    }

    pub fn publish_document(&self, document: Value) {
        self.published.lock().unwrap().document = document;
    }

    /// Whether the issuer can be reached.
    pub fn set_away(&self, is_away: bool) {
        self.published.lock().unwrap().is_away = is_away;
    }

    /// How long it takes to answer.
    pub fn set_slow(&self, takes_ms: u64) {
        self.published.lock().unwrap().takes_ms = takes_ms;
    }

    pub fn fetches(&self) -> u32 {
        self.published.lock().unwrap().fetches
    }
}

#[async_trait]
impl KeySetSource for FakeKeySets {
    async fn fetch(&self, jwks_url: &str) -> Result<Value> {
        assert_eq!(jwks_url, JWKS_URL, "keys come from the configured address alone");
        let takes_ms = {
            let mut published = self.published.lock().unwrap();
            published.fetches += 1;
            published.takes_ms
        };
        if takes_ms > 0 {
            self.clock.sleep_ms(takes_ms).await;
        }
        let published = self.published.lock().unwrap();
        if published.is_away {
            return Err(Error::unavailable("the issuer", "away"));
        }
        Ok(published.document.clone())
    }
}
