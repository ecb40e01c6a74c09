//! Whose tokens are accepted: the deployment's own Supabase, and others such as Clerk.

use serde::Deserialize;

use super::{Environment, Reader, Secret};

/// Shorter HMAC secrets can be guessed from one token.
pub(super) const HS256_SECRET_MIN_BYTES: usize = 32;

/// Somebody whose tokens we accept.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    pub issuer: String,
    /// What `aud` must name; `None`: it is not looked at.
    pub audience: Option<String>,
    /// Of which `azp` must be one, unless there are none: Clerk's tokens have it instead of an audience.
    pub authorized_parties: Vec<String>,
    pub algorithms: Vec<TokenAlgorithm>,
    pub jwks_url: Option<String>,
    pub hs256_secret: Option<Secret>,
    /// Its people have ids of its own, and the database can't read its tokens: the edge writes others for them.
    pub is_foreign: bool,
}

/// How a token may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TokenAlgorithm {
    #[serde(rename = "HS256")]
    Hs256,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl TokenAlgorithm {
    /// The word in a token's header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// An entry of `JWT_ISSUERS`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerEntry {
    issuer: String,
    #[serde(default)]
    audience: Option<String>,
    #[serde(default)]
    authorized_parties: Vec<String>,
    algorithms: Vec<TokenAlgorithm>,
    #[serde(default)]
    jwks_url: Option<String>,
    /// Names the secret; the secret itself never stands in a variable.
    #[serde(default)]
    hs256_secret_name: Option<String>,
    #[serde(default)]
    is_foreign: bool,
}

impl Reader<'_> {
    pub(super) fn issuers(
        &mut self,
        supabase_url: &str,
        environment: Environment,
    ) -> Vec<IssuerConfig> {
        let Some(text) = self.optional("JWT_ISSUERS") else {
            return vec![supabase_issuer(supabase_url)];
        };
        let entries: Vec<IssuerEntry> = match serde_json::from_str(&text) {
            Ok(entries) => entries,
            Err(error) => {
                self.problems.push(format!("JWT_ISSUERS can't be read: {error}"));
                return Vec::new();
            }
        };
        if entries.is_empty() {
            self.problems.push("JWT_ISSUERS must name an issuer".to_owned());
        }
        let issuers: Vec<_> =
            entries.into_iter().map(|entry| self.issuer(entry, environment)).collect();
        for (index, one) in issuers.iter().enumerate() {
            if issuers.iter().take(index).any(|other| other.issuer == one.issuer) {
                self.problems.push(format!("JWT_ISSUERS names {} twice", one.issuer));
            }
        }
        issuers
    }

    fn issuer(&mut self, entry: IssuerEntry, environment: Environment) -> IssuerConfig {
        let IssuerEntry {
            issuer,
            audience,
            authorized_parties,
            algorithms,
            jwks_url,
            hs256_secret_name,
            is_foreign,
        } = entry;
        let mut problem = |text: &str| self.problems.push(format!("JWT_ISSUERS: {issuer} {text}"));
        let is_for_anyone = audience.is_none() && authorized_parties.is_empty();
        let is_any_empty = audience.iter().chain(&authorized_parties).any(String::is_empty);
        if issuer.is_empty() || is_for_anyone || is_any_empty || algorithms.is_empty() {
            problem("needs an issuer, an audience or authorized_parties, and algorithms");
        }
        let wants_hs256 = algorithms.contains(&TokenAlgorithm::Hs256);
        if wants_hs256 != hs256_secret_name.is_some() {
            problem("needs HS256 and hs256_secret_name together, or neither");
        }
        if algorithms.iter().any(|algorithm| *algorithm != TokenAlgorithm::Hs256)
            && jwks_url.is_none()
        {
            problem("needs jwks_url for its algorithms");
        }
        let is_local = environment == Environment::Local;
        if jwks_url.as_ref().is_some_and(|url| !is_local && !url.starts_with("https://")) {
            problem("must give its keys over https");
        }
        let hs256_secret = hs256_secret_name.map(|name| Secret(self.required(&name)));
        if hs256_secret
            .as_ref()
            .is_some_and(|secret| (1..HS256_SECRET_MIN_BYTES).contains(&secret.0.len()))
        {
            self.problems.push(format!(
                "JWT_ISSUERS: the secret of {issuer} must have at least {HS256_SECRET_MIN_BYTES} bytes"
            ));
        }
        IssuerConfig {
            issuer,
            audience,
            authorized_parties,
            algorithms,
            jwks_url,
            hs256_secret,
            is_foreign,
        }
    }
}

/// The issuer that every deployment has: its own Supabase Auth.
fn supabase_issuer(supabase_url: &str) -> IssuerConfig {
    let issuer = format!("{supabase_url}/auth/v1");
    IssuerConfig {
        jwks_url: Some(format!("{issuer}/.well-known/jwks.json")),
        issuer,
        audience: Some("authenticated".to_owned()),
        authorized_parties: Vec::new(),
        algorithms: vec![TokenAlgorithm::Es256, TokenAlgorithm::Rs256, TokenAlgorithm::EdDsa],
        hs256_secret: None,
        is_foreign: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::problems;

    #[test]
    fn an_issuer_that_could_never_be_verified_is_refused() {
        let cases = [
            (r#"[]"#, "must name an issuer"),
            (r#"{"#, "can't be read"),
            (r#"[{"issuer":"a","audience":"b","algorithms":["none"]}]"#, "can't be read"),
            (r#"[{"issuer":"a","audience":"b","algorithms":["ES256"]}]"#, "needs jwks_url"),
            (r#"[{"issuer":"a","audience":"b","algorithms":["HS256"]}]"#, "together"),
            (
                r#"[{"issuer":"a","audience":"b","algorithms":["HS256"],"hs256_secret_name":"NODE_TOKEN"}]"#,
                "at least 32 bytes",
            ),
            (
                r#"[{"issuer":"a","algorithms":["ES256"],"jwks_url":"http://k"}]"#,
                "authorized_parties",
            ),
            (
                r#"[{"issuer":"a","authorized_parties":[""],"algorithms":["ES256"],"jwks_url":"http://k"}]"#,
                "authorized_parties",
            ),
            (
                r#"[{"issuer":"a","audience":"b","algorithms":["HS256"],"hs256_secret_name":"NO_SUCH"}]"#,
                "NO_SUCH is missing",
            ),
        ];
        for (text, expected) in cases {
            let found = problems("JWT_ISSUERS", text);
            assert!(found.iter().any(|problem| problem.contains(expected)), "{text}: {found:?}");
        }
    }
}
