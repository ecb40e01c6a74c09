//! Public keys of an issuer: which algorithm each is for, and which one a token means.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::ports::auth::SignatureAlgorithm;

/// No issuer has more; a longer list is cut.
const KEYS_MAX: usize = 32;

/// 2048 bits in base64url: shorter RSA keys can be broken.
const RSA_MODULUS_MIN_CHARS: usize = 342;

/// A key that may verify signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) algorithm: SignatureAlgorithm,
    /// The public members alone, as a JSON Web Key.
    pub(super) jwk: Value,
}

/// The usable keys of a JWKS document; `None` when it isn't one.
pub(super) fn parse_key_set(document: &Value) -> Option<Vec<Arc<Key>>> {
    let keys = document.get("keys")?.as_array()?;
    Some(keys.iter().take(KEYS_MAX).filter_map(parse_key).map(Arc::new).collect())
}

fn parse_key(jwk: &Value) -> Option<Key> {
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    let (algorithm, public): (_, &[&str]) = match (member("kty")?, member("crv")) {
        ("EC", Some("P-256")) => (SignatureAlgorithm::Es256, &["kty", "crv", "x", "y"]),
        ("OKP", Some("Ed25519")) => (SignatureAlgorithm::EdDsa, &["kty", "crv", "x"]),
        ("RSA", None) => (SignatureAlgorithm::Rs256, &["kty", "n", "e"]),
        _ => return None,
    };
    let is_its_algorithm = match (member("alg"), algorithm) {
        (None, _)
        | (Some("ES256"), SignatureAlgorithm::Es256)
        | (Some("RS256"), SignatureAlgorithm::Rs256) => true,
        (Some(alg), SignatureAlgorithm::EdDsa) => alg == "EdDSA" || alg == "Ed25519",
        _ => false,
    };
    let is_for_signatures = member("use").is_none_or(|purpose| purpose == "sig");
    let may_verify = jwk.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    });
    let is_strong = algorithm != SignatureAlgorithm::Rs256
        || member("n").is_some_and(|modulus| modulus.len() >= RSA_MODULUS_MIN_CHARS);
    if !(is_its_algorithm && is_for_signatures && may_verify && is_strong) {
        return None;
    }
    let members = public.iter().map(|name| Some(((*name).to_owned(), Value::from(member(name)?))));
    let jwk = members.collect::<Option<Map<_, _>>>()?;
    Some(Key { kid: member("kid").map(str::to_owned), algorithm, jwk: Value::Object(jwk) })
}

/// The key that a token names. One without a name is taken at its word only when there is no choice.
pub(super) fn matching_key<'a>(
    keys: &'a [Arc<Key>],
    kid: Option<&str>,
    algorithm: SignatureAlgorithm,
) -> Option<&'a Arc<Key>> {
    let mut candidates = keys
        .iter()
        .filter(|key| key.algorithm == algorithm && (kid.is_none() || key.kid.as_deref() == kid));
    let first = candidates.next()?;
    candidates.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ec(kid: &str, extra: Value) -> Value {
        let mut key = json!({"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "kid": kid});
        for (name, value) in extra.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    #[test]
    fn a_key_that_is_not_for_verifying_is_left_out() {
        let cases = [
            json!({"use": "enc"}),
            json!({"key_ops": ["sign"]}),
            json!({"key_ops": "verify"}),
            json!({"alg": "RS256"}),
            json!({"alg": "HS256"}),
            json!({"crv": "P-384"}),
            json!({"kty": "oct"}),
            json!({"x": 7}),
        ];
        for extra in cases {
            let keys = parse_key_set(&json!({"keys": [ec("a", extra.clone())]})).unwrap();
            assert!(keys.is_empty(), "{extra}");
        }
    }

    #[test]
    fn a_key_is_kept_without_its_private_part() {
        let document =
            json!({"keys": [ec("a", json!({"d": "secret", "use": "sig", "key_ops": ["verify"]}))]});
        let keys = parse_key_set(&document).unwrap();
        assert_eq!(keys[0].jwk, json!({"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}));
    }

    #[test]
    fn a_weak_rsa_key_is_left_out() {
        let key =
            |chars: usize| json!({"keys": [{"kty": "RSA", "n": "a".repeat(chars), "e": "AQAB"}]});
        assert_eq!(parse_key_set(&key(171)).unwrap().len(), 0);
        assert_eq!(parse_key_set(&key(342)).unwrap().len(), 1);
    }

    #[test]
    fn a_nameless_token_gets_a_key_only_when_there_is_no_choice() {
        let one = parse_key_set(&json!({"keys": [ec("a", json!({}))]})).unwrap();
        let two =
            parse_key_set(&json!({"keys": [ec("a", json!({})), ec("b", json!({}))]})).unwrap();
        let es256 = SignatureAlgorithm::Es256;
        assert!(matching_key(&one, None, es256).is_some());
        assert!(matching_key(&two, None, es256).is_none());
        assert!(matching_key(&two, Some("b"), es256).is_some());
        assert!(matching_key(&two, Some("c"), es256).is_none());
        assert!(matching_key(&one, Some("a"), SignatureAlgorithm::Rs256).is_none());
    }

    #[test]
    fn what_is_no_key_set_is_told_from_an_empty_one() {
        assert_eq!(parse_key_set(&json!({"keys": []})), Some(Vec::new()));
        assert_eq!(parse_key_set(&json!({"message": "not found"})), None);
    }
}
