//! What the edge signs tokens for the database with: a key of the Supabase project, or the secret of an older project.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Deserialize;
use serde_json::json;

use super::{Reader, Secret, issuers::HS256_SECRET_MIN_BYTES};

const KEY: &str = "SUPABASE_SIGNING_KEY";
const SECRET: &str = "SUPABASE_JWT_SECRET";

/// Of a coordinate or a private number of P-256.
const P256_BYTES: usize = 32;

/// How the database tells that a token is the edge's.
#[derive(Debug, Clone)]
pub enum TokenSigning {
    Es256(SigningKey),
    Hs256(Secret),
}

/// A key pair that the Supabase project knows, as its current key or as another that it trusts.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// Under which the project's key set has the public half.
    pub kid: String,
    /// The private JSON Web Key, with no member that limits its use.
    pub jwk: Secret,
}

/// A private key as `supabase gen signing-key` prints it; what else it says is left aside.
#[derive(Deserialize)]
struct PrivateKey {
    kty: String,
    crv: String,
    kid: String,
    x: String,
    y: String,
    d: String,
    #[serde(default)]
    alg: Option<String>,
}

impl PrivateKey {
    fn into_signing_key(self) -> Option<SigningKey> {
        let Self { kty, crv, kid, x, y, d, alg } = self;
        let is_es256 = kty == "EC" && crv == "P-256" && alg.is_none_or(|alg| alg == "ES256");
        let is_whole = [&x, &y, &d]
            .iter()
            .all(|number| BASE64.decode(number).is_ok_and(|bytes| bytes.len() == P256_BYTES));
        let jwk = json!({ "kty": kty, "crv": crv, "x": x, "y": y, "d": d });
        (is_es256 && is_whole && !kid.is_empty())
            .then(|| SigningKey { kid, jwk: Secret(jwk.to_string()) })
    }
}

impl Reader<'_> {
    /// One of the two where people come whose own tokens the database can't read; else neither is looked at.
    pub(super) fn token_signing(&mut self, has_foreign_issuer: bool) -> Option<TokenSigning> {
        if !has_foreign_issuer {
            return None;
        }
        match (self.optional(KEY), self.optional(SECRET)) {
            (Some(key), None) => self.signing_key(&key).map(TokenSigning::Es256),
            (None, Some(secret)) => {
                if secret.len() < HS256_SECRET_MIN_BYTES {
                    let problem =
                        format!("{SECRET} must have at least {HS256_SECRET_MIN_BYTES} bytes");
                    self.problems.push(problem);
                }
                Some(TokenSigning::Hs256(Secret(secret)))
            }
            (None, None) => {
                self.problems.push(format!(
                    "{KEY} (or, in a project without signing keys, {SECRET}) is missing: JWT_ISSUERS has an issuer with is_foreign"
                ));
                None
            }
            (Some(_), Some(_)) => {
                self.problems.push(format!("{KEY} and {SECRET} are both set: keep the first unless the project has no signing keys"));
                None
            }
        }
    }

    /// Nothing of the text is shown: it is a secret.
    fn signing_key(&mut self, text: &str) -> Option<SigningKey> {
        let key =
            serde_json::from_str::<PrivateKey>(text).ok().and_then(PrivateKey::into_signing_key);
        if key.is_none() {
            self.problems
                .push(format!("{KEY} must be a private ES256 key, a JSON Web Key with its kid"));
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{minimal, read};
    use super::*;

    const ISSUERS: &str = r#"[{"issuer":"a","audience":"b","algorithms":["RS256"],"jwks_url":"http://k","is_foreign":true}]"#;
    const NUMBER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    const LONG_SECRET: &str = "thirty-two bytes or more of a secret";

    fn key() -> serde_json::Value {
        json!({
            "kty": "EC", "crv": "P-256", "kid": "k1", "x": NUMBER, "y": NUMBER, "d": NUMBER, "alg": "ES256",
            "use": "sig", "key_ops": ["sign", "verify"], "ext": true,
        })
    }

    fn signing(
        key: Option<&str>,
        secret: Option<&str>,
    ) -> Result<Option<TokenSigning>, Vec<String>> {
        let mut variables = minimal();
        variables.insert("JWT_ISSUERS", ISSUERS);
        variables.extend(key.map(|key| (KEY, key)));
        variables.extend(secret.map(|secret| (SECRET, secret)));
        read(&variables).map(|config| config.supabase.token_signing).map_err(|error| error.0)
    }

    #[test]
    fn a_key_of_the_project_is_kept_with_its_name_and_without_its_uses() {
        let text = key().to_string();
        let Some(TokenSigning::Es256(key)) = signing(Some(&text), None).unwrap() else { panic!() };
        assert_eq!(key.kid, "k1");
        let jwk: serde_json::Value = serde_json::from_str(key.jwk.reveal()).unwrap();
        assert_eq!(
            jwk,
            json!({ "kty": "EC", "crv": "P-256", "x": NUMBER, "y": NUMBER, "d": NUMBER })
        );
        assert!(!format!("{key:?}").contains(NUMBER), "it does not print");
    }

    #[test]
    fn the_secret_of_an_older_project_serves_as_well() {
        let found = signing(None, Some(LONG_SECRET)).unwrap();
        assert!(
            matches!(found, Some(TokenSigning::Hs256(secret)) if secret.reveal() == LONG_SECRET)
        );
        assert_eq!(
            signing(None, Some("short")).unwrap_err(),
            ["SUPABASE_JWT_SECRET must have at least 32 bytes"]
        );
    }

    #[test]
    fn neither_and_both_are_refused_in_words_that_name_them() {
        for (key_text, secret, words) in [
            (None, None, "is missing: JWT_ISSUERS has an issuer with is_foreign"),
            (Some(key().to_string()), Some(LONG_SECRET), "are both set"),
        ] {
            let problems = signing(key_text.as_deref(), secret).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            let names = [KEY, SECRET].iter().all(|name| problems[0].contains(name));
            assert!(names && problems[0].contains(words), "{problems:?}");
        }
    }

    #[test]
    fn what_is_no_private_key_of_this_kind_is_refused_and_not_shown() {
        let without = |name: &str| {
            let mut key = key();
            key.as_object_mut().unwrap().remove(name);
            key.to_string()
        };
        let with = |name: &str, value: &str| {
            let mut key = key();
            key[name] = value.into();
            key.to_string()
        };
        let mut cases = vec!["{".to_owned(), NUMBER.to_owned(), format!("[{}]", key())];
        cases.extend(["kty", "crv", "kid", "x", "y", "d"].map(without));
        cases.extend([
            with("kid", ""),
            with("crv", "P-384"),
            with("alg", "RS256"),
            with("d", "c2hvcnQ"),
            with("x", "*"),
        ]);
        for text in cases {
            let problems = signing(Some(&text), None).unwrap_err();
            assert_eq!(
                problems,
                ["SUPABASE_SIGNING_KEY must be a private ES256 key, a JSON Web Key with its kid"],
                "{text}"
            );
        }
    }

    #[test]
    fn where_nobody_foreign_comes_neither_is_looked_at() {
        let mut variables = minimal();
        variables.insert(KEY, "{");
        variables.insert(SECRET, "short");
        assert!(read(&variables).unwrap().supabase.token_signing.is_none());
    }
}
