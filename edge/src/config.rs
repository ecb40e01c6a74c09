//! Typed settings from variables and secrets, read once; everything that is missing or wrong is named at once.

use std::fmt;

use serde::Deserialize;
use thiserror::Error;

/// Shorter HMAC secrets can be guessed from one token.
const HS256_SECRET_MIN_BYTES: usize = 32;

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    pub environment: Environment,
    pub supabase: SupabaseConfig,
    pub issuers: Vec<IssuerConfig>,
    /// Origins whose pages may call the API.
    pub cors_origins: Vec<String>,
    /// The edge proves itself to nodes with it.
    pub node_token: Secret,
    /// Nodes prove themselves to the edge with it; empty: no node may join by itself.
    pub node_join_token: Secret,
    /// Monitoring proves itself with it; empty: only admins may read the metrics.
    pub metrics_token: Secret,
    pub discord_webhook_url: Option<Secret>,
    /// The image model that draws scenes.
    pub scene_model: String,
    /// The text model that answers for creators.
    pub text_model: String,
    /// How long a run counts as alive after it was last heard of.
    pub lease_s: u32,
    /// How long a job may wait before the reaper queues it again.
    pub queued_grace_s: u32,
}

/// Where the database is, and the keys to it.
#[derive(Debug, Clone)]
pub struct SupabaseConfig {
    /// Without a slash at the end.
    pub url: String,
    /// Public by design: the page uses it too.
    pub publishable_key: String,
    pub secret_key: Secret,
}

/// Which deployment this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    Local,
    Staging,
    Production,
}

impl Environment {
    /// The word in `ENVIRONMENT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

/// Somebody whose tokens we accept.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    pub issuer: String,
    pub audience: String,
    pub algorithms: Vec<TokenAlgorithm>,
    pub jwks_url: Option<String>,
    pub hs256_secret: Option<Secret>,
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

/// A text that never prints.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub(crate) String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one header or key it was made for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is missing or wrong, all of it; values are never shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the configuration is not valid: {}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads variables and secrets by name.
    pub fn from_source(source: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut read = Reader { source, problems: Vec::new() };
        let environment = read.environment();
        let url = read.required("SUPABASE_URL").trim_end_matches('/').to_owned();
        let config = Self {
            environment,
            issuers: read.issuers(&url, environment),
            supabase: SupabaseConfig {
                url,
                publishable_key: read.required("SUPABASE_PUBLISHABLE_KEY"),
                secret_key: Secret(read.required("SUPABASE_SECRET_KEY")),
            },
            cors_origins: read.origins("CORS_ORIGINS"),
            node_token: Secret(read.required("NODE_TOKEN")),
            node_join_token: Secret(read.optional("NODE_JOIN_TOKEN").unwrap_or_default()),
            metrics_token: Secret(read.optional("METRICS_TOKEN").unwrap_or_default()),
            discord_webhook_url: read.optional("DISCORD_WEBHOOK_URL").map(Secret),
            scene_model: read
                .optional("SCENE_MODEL")
                .unwrap_or_else(|| "embedded-scene".to_owned()),
            text_model: read.optional("TEXT_MODEL").unwrap_or_else(|| "embedded-text".to_owned()),
            lease_s: read.seconds("LEASE_SECONDS", 30),
            queued_grace_s: read.seconds("QUEUED_GRACE_SECONDS", 60),
        };
        if read.problems.is_empty() { Ok(config) } else { Err(ConfigError(read.problems)) }
    }
}

struct Reader<'a> {
    source: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

/// An entry of `JWT_ISSUERS`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerEntry {
    issuer: String,
    audience: String,
    algorithms: Vec<TokenAlgorithm>,
    #[serde(default)]
    jwks_url: Option<String>,
    /// Names the secret; the secret itself never stands in a variable.
    #[serde(default)]
    hs256_secret_name: Option<String>,
}

impl Reader<'_> {
    fn optional(&self, name: &str) -> Option<String> {
        (self.source)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is missing"));
            String::new()
        })
    }

    fn list(&self, name: &str) -> Vec<String> {
        let text = self.optional(name).unwrap_or_default();
        let entries = text.split(',').map(|entry| entry.trim().trim_end_matches('/'));
        entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    }

    fn origins(&mut self, name: &str) -> Vec<String> {
        let origins = self.list(name);
        for origin in &origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if host.is_none_or(|host| host.is_empty() || host.contains(['/', '*'])) {
                self.problems
                    .push(format!("{name} must list exact origins, which {origin} is not"));
            }
        }
        origins
    }

    fn seconds(&mut self, name: &str, default: u32) -> u32 {
        let Some(text) = self.optional(name) else { return default };
        text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds)).unwrap_or_else(|| {
            self.problems.push(format!("{name} must be a number of seconds up to a day"));
            default
        })
    }

    fn environment(&mut self) -> Environment {
        let known = [Environment::Local, Environment::Staging, Environment::Production];
        let text = self.required("ENVIRONMENT");
        let found = known.into_iter().find(|environment| environment.as_str() == text);
        found.unwrap_or_else(|| {
            if !text.is_empty() {
                self.problems.push("ENVIRONMENT must be local, staging or production".to_owned());
            }
            // The strictest, although the error ends the start anyway.
            Environment::Production
        })
    }

    fn issuers(&mut self, supabase_url: &str, environment: Environment) -> Vec<IssuerConfig> {
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
        let IssuerEntry { issuer, audience, algorithms, jwks_url, hs256_secret_name } = entry;
        let mut problem = |text: &str| self.problems.push(format!("JWT_ISSUERS: {issuer} {text}"));
        if issuer.is_empty() || audience.is_empty() || algorithms.is_empty() {
            problem("needs an issuer, an audience and algorithms");
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
        IssuerConfig { issuer, audience, algorithms, jwks_url, hs256_secret }
    }
}

/// The issuer that every deployment has: its own Supabase Auth.
fn supabase_issuer(supabase_url: &str) -> IssuerConfig {
    let issuer = format!("{supabase_url}/auth/v1");
    IssuerConfig {
        jwks_url: Some(format!("{issuer}/.well-known/jwks.json")),
        issuer,
        audience: "authenticated".to_owned(),
        algorithms: vec![TokenAlgorithm::Es256, TokenAlgorithm::Rs256, TokenAlgorithm::EdDsa],
        hs256_secret: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn minimal() -> HashMap<&'static str, &'static str> {
        HashMap::from([
            ("ENVIRONMENT", "local"),
            ("SUPABASE_URL", "http://127.0.0.1:54321/"),
            ("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x"),
            ("SUPABASE_SECRET_KEY", "sb_secret_x"),
            ("NODE_TOKEN", "node-token"),
        ])
    }

    fn read(variables: &HashMap<&str, &str>) -> Result<Config, ConfigError> {
        Config::from_source(&|name| variables.get(name).map(|text| (*text).to_owned()))
    }

    fn problems(name: &'static str, text: &'static str) -> Vec<String> {
        let mut variables = minimal();
        variables.insert(name, text);
        read(&variables).unwrap_err().0
    }

    #[test]
    fn the_minimum_is_enough_and_accepts_the_own_supabase() {
        let config = read(&minimal()).unwrap();
        assert_eq!(config.issuers[0].issuer, "http://127.0.0.1:54321/auth/v1");
        assert_eq!(config.supabase.url, "http://127.0.0.1:54321");
        assert_eq!((config.lease_s, config.queued_grace_s), (30, 60));
    }

    #[test]
    fn everything_missing_is_named_at_once() {
        let ConfigError(problems) = read(&HashMap::new()).unwrap_err();
        let names = [
            "ENVIRONMENT",
            "SUPABASE_URL",
            "SUPABASE_PUBLISHABLE_KEY",
            "SUPABASE_SECRET_KEY",
            "NODE_TOKEN",
        ];
        assert_eq!(problems, names.map(|name| format!("{name} is missing")));
    }

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
                r#"[{"issuer":"a","audience":"b","algorithms":["HS256"],"hs256_secret_name":"NO_SUCH"}]"#,
                "NO_SUCH is missing",
            ),
        ];
        for (text, expected) in cases {
            let found = problems("JWT_ISSUERS", text);
            assert!(found.iter().any(|problem| problem.contains(expected)), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_wildcard_is_no_origin() {
        for text in ["*", "https://*.example", "example.org", "https://a.example/path"] {
            assert_eq!(problems("CORS_ORIGINS", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let printed = format!("{:?}", read(&minimal()).unwrap());
        assert!(!printed.contains("sb_secret_x") && !printed.contains("node-token"), "{printed}");
    }
}
