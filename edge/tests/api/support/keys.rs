//! Key pairs that sign tokens, and the port that verifies them, in pure Rust.

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use edge::{
    error::{Error, Result},
    ports::auth::{SignatureAlgorithm, Signatures},
};
use p256::ecdsa::signature::{SignatureEncoding, Signer, Verifier};
use rsa::{BigUint, pkcs1v15, sha2::Sha256, traits::PublicKeyParts};
use serde_json::{Value, json};

/// Primes of a key that exists for these tests only: making one takes seconds without optimisation.
const RSA_PRIMES: [&[u8]; 2] = [
    b"c1e82b3f47879c817b21049701aad84b5c705aa5bef85a8629af9aee186fb86a3256fa6bb6c148f16654e7407be1772dae2fbdd0fc0848415d5d546afe42973c04dfeb886f12555bd61e36734f2cc9d3764a5bac26ad3c1b6dea084b8f17be259cd5530f8f600c074bf2a64c3cfdd57a647c463fd4dba8b14a885b78eab85a13",
    b"e619e8c5c68ccd5bac03bf45196fccea9cadc34f635eb549988be2e0cae437bb4eca0247a175e55c72b21a3f9b7cc885c0c85e58bbbb6b6a5b6c63156c6ea9a2decf15c5ee8a68116ea4f2b828600c47e1f42d56912cd33948cee005f84f0b359b99ccdee77347474f9ebc99e8579be69dd9934e4b468982588a2ff5c4ce5e2d",
];

/// A private key of each kind an issuer may use.
pub enum KeyPair {
    Es256(p256::ecdsa::SigningKey),
    Rs256(Box<pkcs1v15::SigningKey<Sha256>>),
    EdDsa(ed25519_dalek::SigningKey),
}

impl KeyPair {
    pub fn es256(number: u8) -> Self {
        Self::Es256(p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap())
    }

    pub fn ed_dsa(number: u8) -> Self {
        Self::EdDsa(ed25519_dalek::SigningKey::from_bytes(&[number; 32]))
    }

    pub fn rs256() -> Self {
        let [p, q] = RSA_PRIMES.map(|hex| BigUint::parse_bytes(hex, 16).unwrap());
        let key = rsa::RsaPrivateKey::from_p_q(p, q, BigUint::from(65_537_u32)).unwrap();
        Self::Rs256(Box::new(pkcs1v15::SigningKey::new(key)))
    }

    /// The word for the token's header.
    pub fn alg(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Rs256(_) => "RS256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    /// The public half, for the issuer's key set.
    pub fn jwk(&self, kid: &str) -> Value {
        let b64 = |bytes: &[u8]| BASE64.encode(bytes);
        let mut jwk = match self {
            Self::Es256(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                json!({"kty": "EC", "crv": "P-256", "x": b64(point.x().unwrap()), "y": b64(point.y().unwrap())})
            }
            Self::Rs256(key) => {
                let private: &rsa::RsaPrivateKey = key.as_ref().as_ref();
                let public = private.to_public_key();
                json!({"kty": "RSA", "n": b64(&public.n().to_bytes_be()), "e": b64(&public.e().to_bytes_be())})
            }
            Self::EdDsa(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(key.verifying_key().as_bytes())})
            }
        };
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        jwk["alg"] = self.alg().into();
        jwk
    }

    /// An ES256 key's private half, as `supabase gen signing-key` prints it.
    pub fn private_jwk(&self, kid: &str) -> Value {
        let mut jwk = self.jwk(kid);
        if let Self::Es256(key) = self {
            jwk["d"] = BASE64.encode(key.to_bytes()).into();
        }
        jwk
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_vec()
            }
            Self::Rs256(key) => key.sign(message).to_vec(),
            Self::EdDsa(key) => key.sign(message).to_vec(),
        }
    }
}

/// WebCrypto's stand-in.
pub struct PureRustSignatures;

#[async_trait]
impl Signatures for PureRustSignatures {
    async fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        jwk: &Value,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool> {
        let member =
            |name: &str| BASE64.decode(jwk[name].as_str().unwrap_or("")).unwrap_or_default();
        let is_good = match algorithm {
            SignatureAlgorithm::Es256 => {
                let point = [&[4], member("x").as_slice(), member("y").as_slice()].concat();
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point);
                let signature = p256::ecdsa::Signature::from_slice(signature);
                key.and_then(|key| key.verify(message, &signature?)).is_ok()
            }
            SignatureAlgorithm::Rs256 => {
                let (n, e) =
                    (BigUint::from_bytes_be(&member("n")), BigUint::from_bytes_be(&member("e")));
                let key = rsa::RsaPublicKey::new(n, e).map_err(Error::internal)?;
                let key = pkcs1v15::VerifyingKey::<Sha256>::new(key);
                let signature = pkcs1v15::Signature::try_from(signature);
                signature.and_then(|signature| key.verify(message, &signature)).is_ok()
            }
            // As the runtime, which throws.
            SignatureAlgorithm::EdDsa if signature.len() != 64 => {
                return Err(Error::internal("not the length of a signature"));
            }
            SignatureAlgorithm::EdDsa => {
                let bytes = member("x").try_into().unwrap_or([0; 32]);
                let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes);
                let signature = ed25519_dalek::Signature::from_slice(signature);
                key.and_then(|key| key.verify(message, &signature?)).is_ok()
            }
        };
        Ok(is_good)
    }

    async fn sign_es256(&self, jwk: &str, message: &[u8]) -> Result<Vec<u8>> {
        let jwk: Value = serde_json::from_str(jwk).map_err(Error::internal)?;
        let number = BASE64.decode(jwk["d"].as_str().unwrap_or_default()).unwrap_or_default();
        let key = p256::ecdsa::SigningKey::from_slice(&number).map_err(Error::internal)?;
        Ok(KeyPair::Es256(key).sign(message))
    }
}
