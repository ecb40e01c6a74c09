//! Typed settings from variables and secrets, read once; everything that is missing or wrong is named at once.

mod database_tokens;
mod images;
mod issuers;

use std::fmt;

use thiserror::Error;

pub use database_tokens::{SigningKey, TokenSigning};
pub use images::{ImageSteps, WebhookConfig};
pub use issuers::{IssuerConfig, TokenAlgorithm};

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
    /// The product's own server; `None`: it is told nothing.
    pub webhook: Option<WebhookConfig>,
    /// The image model that draws scenes.
    pub scene_model: String,
    /// The image model that draws what Sorami's people ask for.
    pub image_model: String,
    pub image_steps: ImageSteps,
    /// How long the addresses of generated files work.
    pub image_url_days: u32,
    /// Origins that pictures to start from are fetched from although they are not public; of local deployments alone.
    pub input_image_origins: Vec<String>,
    /// Answers DNS questions over HTTPS; `None`: what a name resolves to is not looked at.
    pub dns_url: Option<String>,
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
    /// For the tokens that the edge writes for people of issuers that the database doesn't know; `None`: there are none.
    pub token_signing: Option<TokenSigning>,
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
        let issuers = read.issuers(&url, environment);
        let token_signing = read.token_signing(issuers.iter().any(|issuer| issuer.is_foreign));
        let config = Self {
            environment,
            issuers,
            supabase: SupabaseConfig {
                url,
                publishable_key: read.required("SUPABASE_PUBLISHABLE_KEY"),
                secret_key: Secret(read.required("SUPABASE_SECRET_KEY")),
                token_signing,
            },
            cors_origins: read.origins("CORS_ORIGINS"),
            node_token: Secret(read.required("NODE_TOKEN")),
            node_join_token: Secret(read.optional("NODE_JOIN_TOKEN").unwrap_or_default()),
            metrics_token: Secret(read.optional("METRICS_TOKEN").unwrap_or_default()),
            discord_webhook_url: read.optional("DISCORD_WEBHOOK_URL").map(Secret),
            webhook: read.webhook(environment),
            image_model: read
                .optional("IMAGE_MODEL")
                .unwrap_or_else(|| "embedded-scene".to_owned()),
            image_steps: read.image_steps("IMAGE_STEPS"),
            image_url_days: read.within("IMAGE_URL_DAYS", 365, (1, 3_650), "days"),
            input_image_origins: read.input_image_origins(environment),
            dns_url: read.https("DNS_URL", environment),
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
        self.within(name, default, (1, 86_400), "seconds")
    }

    fn within(&mut self, name: &str, default: u32, (min, max): (u32, u32), unit: &str) -> u32 {
        let Some(text) = self.optional(name) else { return default };
        text.parse().ok().filter(|number| (min..=max).contains(number)).unwrap_or_else(|| {
            self.problems.push(format!("{name} must be a number of {unit} from {min} to {max}"));
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
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    pub(super) fn minimal() -> HashMap<&'static str, &'static str> {
        HashMap::from([
            ("ENVIRONMENT", "local"),
            ("SUPABASE_URL", "http://127.0.0.1:54321/"),
            ("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x"),
            ("SUPABASE_SECRET_KEY", "sb_secret_x"),
            ("NODE_TOKEN", "node-token"),
        ])
    }

    pub(super) fn read(variables: &HashMap<&str, &str>) -> Result<Config, ConfigError> {
        Config::from_source(&|name| variables.get(name).map(|text| (*text).to_owned()))
    }

    pub(super) fn problems(name: &'static str, text: &'static str) -> Vec<String> {
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
