//! Who holds a token: its issuer, its signature, its claims. No HTTP here.
//!
//! One verifier lives across requests. Whatever it keeps is guarded by a mutex that is never held across an await,
//! and no request ever waits for another's work, which the Workers runtime would cancel.

mod claims;
mod exchange;
mod jwk;
mod key_sets;
mod token_cache;

use std::sync::{Arc, Mutex};

use jwt_compact::{Algorithm, AlgorithmSignature, UntrustedToken, alg};
use sha2::{Digest, Sha256};

pub use self::claims::foreign_person;
use self::{
    claims::{Check, Claims, Extra},
    exchange::Exchange,
    key_sets::KeySet,
    token_cache::TokenCache,
};
use crate::{
    caller::{AccessToken, Caller},
    config::{Config, IssuerConfig, SupabaseConfig, TokenAlgorithm},
    error::{Error, Result},
    ports::{
        auth::{KeySetSource, SignatureAlgorithm, Signatures},
        system::Clock,
    },
};

/// Far above any honest token, far below what costs time to parse.
const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// Verified tokens kept, so that a repeated token costs one hash.
const KEPT_TOKENS: usize = 1000;

/// The outside as the verifier needs it.
pub struct VerifierPorts {
    pub key_sets: Arc<dyn KeySetSource>,
    pub signatures: Arc<dyn Signatures>,
    pub clock: Arc<dyn Clock>,
}

/// Verifies bearer tokens of the configured issuers.
pub struct TokenVerifier {
    issuers: Vec<Issuer>,
    exchange: Option<Exchange>,
    ports: VerifierPorts,
    verified: Mutex<TokenCache>,
}

struct Issuer {
    config: IssuerConfig,
    hs256_key: Option<alg::Hs256Key>,
    keys: Mutex<KeySet>,
}

impl TokenVerifier {
    /// A verifier that knows no key yet: they are fetched when the first token asks for them.
    pub fn new(config: &Config, ports: VerifierPorts) -> Self {
        let SupabaseConfig { url, token_signing, .. } = &config.supabase;
        let issuers = config.issuers.iter().map(|config| Issuer {
            hs256_key: config
                .hs256_secret
                .as_ref()
                .map(|secret| alg::Hs256Key::new(secret.reveal())),
            config: config.clone(),
            keys: Mutex::default(),
        });
        Self {
            issuers: issuers.collect(),
            exchange: token_signing.as_ref().map(|signing| Exchange::new(signing, url)),
            ports,
            verified: Mutex::new(TokenCache::with_capacity(KEPT_TOKENS)),
        }
    }

    /// The holder of the token, if everything about it is right.
    pub async fn verify(&self, token: &str) -> Result<Caller> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(invalid("too long"));
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        let now_s = self.ports.clock.now_ms() / 1000;
        let known = self.verified.lock().ok().and_then(|mut kept| kept.find(&hash, now_s));
        if let Some(caller) = known {
            return self.with_token(caller, token, now_s).await;
        }
        let (caller, expires_s) = self.verify_unseen(token, now_s).await?;
        if let Ok(mut kept) = self.verified.lock() {
            // The cache knows tokens by their hash only: a dump of memory holds none.
            let anonymous = Caller { token: AccessToken::new(""), ..caller.clone() };
            kept.keep(hash, anonymous, expires_s, now_s);
        }
        self.with_token(caller, token, now_s).await
    }

    /// The caller with the token that the database is to be shown.
    async fn with_token(&self, caller: Caller, token: &str, now_s: u64) -> Result<Caller> {
        let token = match (caller.is_foreign, &self.exchange) {
            (false, _) => AccessToken::new(token),
            (true, Some(exchange)) => {
                exchange.token_for(self.ports.signatures.as_ref(), &caller, now_s).await?
            }
            (true, None) => return Err(Error::internal("a foreign issuer without an exchange")),
        };
        Ok(Caller { token, ..caller })
    }

    async fn verify_unseen(&self, token: &str, now_s: u64) -> Result<(Caller, u64)> {
        let parsed = UntrustedToken::<Extra>::try_from(token).map_err(|_| invalid("malformed"))?;
        if parsed.header().other_fields.is_critical() {
            return Err(invalid("a critical header nobody here understands"));
        }
        let claims = parsed.deserialize_claims_unchecked::<Claims>();
        let claims = claims.map_err(|_| invalid("malformed claims"))?;
        let issuer = self.issuers.iter().find(|issuer| issuer.config.issuer == claims.custom.iss);
        let issuer = issuer.ok_or(invalid("unknown issuer"))?;
        // The token only says which of its issuer's algorithms to check.
        let allowed = issuer.config.algorithms.iter();
        let algorithm = allowed.copied().find(|algorithm| algorithm.as_str() == parsed.algorithm());
        let algorithm = algorithm.ok_or(invalid("not an algorithm of its issuer"))?;
        // Cheap checks first: an expired token costs no key and no signature.
        claims.check(&issuer.config, now_s).map_err(invalid)?;
        let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed).as_bytes();
        let is_signed = match algorithm {
            TokenAlgorithm::Hs256 => issuer.is_hs256_signed(signed, parsed.signature_bytes()),
            TokenAlgorithm::Es256 => {
                self.is_key_signed(issuer, SignatureAlgorithm::Es256, signed, &parsed).await?
            }
            TokenAlgorithm::Rs256 => {
                self.is_key_signed(issuer, SignatureAlgorithm::Rs256, signed, &parsed).await?
            }
            TokenAlgorithm::EdDsa => {
                self.is_key_signed(issuer, SignatureAlgorithm::EdDsa, signed, &parsed).await?
            }
        };
        if !is_signed {
            return Err(invalid("a signature that does not match"));
        }
        let expires_s = claims.expires_s();
        Ok((claims.custom.caller(&issuer.config, token).map_err(invalid)?, expires_s))
    }

    async fn is_key_signed(
        &self,
        issuer: &Issuer,
        algorithm: SignatureAlgorithm,
        signed: &[u8],
        token: &UntrustedToken<'_, Extra>,
    ) -> Result<bool> {
        let Some(url) = &issuer.config.jwks_url else { return Ok(false) };
        let kid = token.header().key_id.as_deref();
        let found = key_sets::find_key(&issuer.keys, &self.ports, url, (kid, algorithm)).await?;
        if found.is_any_withdrawn
            && let Ok(mut kept) = self.verified.lock()
        {
            kept.clear();
        }
        let key = found.key.ok_or(invalid("unknown key"))?;
        if !algorithm.allows_length(token.signature_bytes().len()) {
            return Ok(false);
        }
        self.ports.signatures.verify(algorithm, &key.jwk, signed, token.signature_bytes()).await
    }
}

impl Issuer {
    fn is_hs256_signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        type Signature = <alg::Hs256 as Algorithm>::Signature;
        // `try_from_slice` panics on any other length, and a panic here would end every request of the instance.
        if Signature::LENGTH.is_none_or(|length| length.get() != signature.len()) {
            return false;
        }
        match (&self.hs256_key, Signature::try_from_slice(signature)) {
            (Some(key), Ok(signature)) => alg::Hs256.verify_signature(&signature, key, signed),
            _ => false,
        }
    }
}

fn invalid(reason: &'static str) -> Error {
    Error::Unauthenticated { reason }
}
