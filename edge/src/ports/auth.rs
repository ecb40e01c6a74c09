//! What proves a token: keys of the issuers, and the mathematics of signatures.

use async_trait::async_trait;
use serde_json::Value;

use crate::error::Result;

/// The algorithms of an issuer's public keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    Es256,
    Rs256,
    EdDsa,
}

impl SignatureAlgorithm {
    /// Whether a signature of so many bytes can be one. The runtime throws at some that can't, instead of refusing them.
    pub fn allows_length(self, bytes: usize) -> bool {
        match self {
            Self::Es256 | Self::EdDsa => bytes == 64,
            // As long as its key, which the runtime compares.
            Self::Rs256 => bytes >= 256,
        }
    }
}

/// Asymmetric signatures (WebCrypto in the Worker, pure Rust in native tests).
#[async_trait]
pub trait Signatures: Send + Sync {
    /// Whether `signature` over `message` was made by the owner of `jwk`, a public JSON Web Key.
    async fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        jwk: &Value,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool>;
    /// The ES256 signature of `message` by `jwk`, the text of a private JSON Web Key.
    async fn sign_es256(&self, jwk: &str, message: &[u8]) -> Result<Vec<u8>>;
}

/// Fetches an issuer's key set.
#[async_trait]
pub trait KeySetSource: Send + Sync {
    /// The JSON of a JWKS document.
    async fn fetch(&self, jwks_url: &str) -> Result<Value>;
}
