//! Signed webhooks, as Standard Webhooks 1.0.0 has them: pure functions for whoever sends and whoever receives.
//!
//! The signature covers `id.timestamp.body`, so that neither an old delivery nor another body can be passed off.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// The header with the delivery's id: the same for each attempt, so that receivers can tell a repeat.
pub const WEBHOOK_ID: &str = "webhook-id";

/// The header with the second of the attempt.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";

/// The header with one or more signatures, a space between them.
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// How far an attempt's time may lie from ours, both ways.
pub const TIMESTAMP_TOLERANCE_S: u64 = 5 * 60;

/// The beginning of a secret whose rest is base64; any other secret is taken as it is.
const SECRET_PREFIX: &str = "whsec_";

/// The version of symmetric signatures.
const VERSION: &str = "v1";

/// A key that sender and receiver share. It never prints.
#[derive(Clone)]
pub struct SigningSecret(Hmac<Sha256>);

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

/// Why a secret can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    #[error("the secret is empty")]
    Empty,
    #[error("what follows whsec_ is not base64")]
    NotBase64,
}

impl SigningSecret {
    /// Reads `whsec_<base64>`, or takes the bytes of any other text.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let key = match text.strip_prefix(SECRET_PREFIX) {
            Some(encoded) => BASE64.decode(encoded).map_err(|_| SecretError::NotBase64)?,
            None => text.as_bytes().to_vec(),
        };
        match Hmac::new_from_slice(&key) {
            Ok(mac) if !key.is_empty() => Ok(Self(mac)),
            _ => Err(SecretError::Empty),
        }
    }

    /// The value of [`WEBHOOK_SIGNATURE`] for one attempt.
    pub fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        format!("{VERSION},{}", BASE64.encode(self.digest(id, timestamp_s, body)))
    }

    /// Checks an attempt as its receiver: any one of the signatures suffices, as while a secret is being changed.
    pub fn verify(&self, attempt: &Attempt<'_>, now_s: u64) -> Result<(), VerifyError> {
        let timestamp_s: u64 = attempt.timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
        if timestamp_s.abs_diff(now_s) > TIMESTAMP_TOLERANCE_S {
            return Err(VerifyError::TooOld);
        }
        let expected = self.digest(attempt.id, timestamp_s, attempt.body);
        let given = attempt.signatures.split(' ').filter_map(|signature| {
            let (version, encoded) = signature.split_once(',')?;
            (version == VERSION).then(|| BASE64.decode(encoded).ok()).flatten()
        });
        let is_signed = given.fold(subtle::Choice::from(0), |found, signature| {
            found | signature.as_slice().ct_eq(expected.as_slice())
        });
        if is_signed.into() { Ok(()) } else { Err(VerifyError::Signature) }
    }

    fn digest(&self, id: &str, timestamp_s: u64, body: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        mac.finalize().into_bytes().into()
    }
}

/// What a receiver got.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signatures: &'a str,
    pub body: &'a [u8],
}

/// Why an attempt is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VerifyError {
    #[error("the timestamp is not a number of seconds")]
    Timestamp,
    #[error("the timestamp is too far from now")]
    TooOld,
    #[error("no signature matches")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const SENT_S: u64 = 1_614_265_330;

    fn attempt<'a>(signatures: &'a str, body: &'a [u8]) -> Attempt<'a> {
        Attempt { id: ID, timestamp: "1614265330", signatures, body }
    }

    #[test]
    fn signs_as_the_reference_libraries_do() {
        assert_eq!(SigningSecret::parse(SECRET).unwrap().sign(ID, SENT_S, BODY), SIGNATURE);
    }

    #[test]
    fn believes_one_right_signature_among_several() {
        let secret = SigningSecret::parse(SECRET).unwrap();
        let several = format!("v1a,abcd v1,bm90IGl0 {SIGNATURE}");
        assert_eq!(secret.verify(&attempt(&several, BODY), SENT_S + 299), Ok(()));
    }

    #[test]
    fn refuses_another_body_secret_version_or_time() {
        let secret = SigningSecret::parse(SECRET).unwrap();
        let other = SigningSecret::parse("another secret").unwrap();
        let refused = Err(VerifyError::Signature);
        assert_eq!(secret.verify(&attempt(SIGNATURE, b"{}"), SENT_S), refused);
        assert_eq!(other.verify(&attempt(SIGNATURE, BODY), SENT_S), refused);
        for signatures in ["", "v1", "v1,", &SIGNATURE.replace("v1,", "v2,"), &SIGNATURE[3..]] {
            assert_eq!(secret.verify(&attempt(signatures, BODY), SENT_S), refused, "{signatures}");
        }
        for now_s in [SENT_S + 301, SENT_S - 301] {
            assert_eq!(
                secret.verify(&attempt(SIGNATURE, BODY), now_s),
                Err(VerifyError::TooOld),
                "{now_s}"
            );
        }
        let late = Attempt { timestamp: "soon", ..attempt(SIGNATURE, BODY) };
        assert_eq!(secret.verify(&late, SENT_S), Err(VerifyError::Timestamp));
    }

    #[test]
    fn a_secret_without_the_prefix_is_its_own_bytes() {
        let plain = SigningSecret::parse("sorami-webhook-secret-key-2025").unwrap();
        let encoded = format!("whsec_{}", BASE64.encode("sorami-webhook-secret-key-2025"));
        let encoded = SigningSecret::parse(&encoded).unwrap();
        assert_eq!(plain.sign(ID, SENT_S, BODY), encoded.sign(ID, SENT_S, BODY));
        let refused = |text: &str| SigningSecret::parse(text).unwrap_err();
        assert_eq!(refused("whsec_*"), SecretError::NotBase64);
        assert_eq!((refused("whsec_"), refused("")), (SecretError::Empty, SecretError::Empty));
        assert!(!format!("{plain:?}").contains("sorami"));
    }
}
