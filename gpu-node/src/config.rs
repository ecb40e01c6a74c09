//! Everything that can be set, by flag or environment, one struct per topic. Checked once, at start.

use std::{path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, ValueEnum};
use thiserror::Error;

use crate::{
    access::{Access, Secret},
    jobs::Retention,
    webhooks::{Pauses, WebhookSettings},
};

/// The settings of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeConfig {
    #[command(flatten, next_help_heading = "Server")]
    pub server: ServerConfig,
    #[command(flatten, next_help_heading = "Access")]
    pub access: AccessConfig,
    #[command(flatten, next_help_heading = "Models")]
    pub models: ModelsConfig,
    #[command(flatten, next_help_heading = "Jobs")]
    pub jobs: JobsConfig,
    #[command(flatten, next_help_heading = "Webhooks")]
    pub webhooks: WebhooksConfig,
    #[command(flatten, next_help_heading = "Fleet")]
    pub fleet: FleetConfig,
    #[command(flatten, next_help_heading = "Logs")]
    pub log: LogConfig,
}

/// Where the node listens and how it leaves.
#[derive(Debug, Clone, Args)]
pub struct ServerConfig {
    /// The address to listen on; 0.0.0.0 or :: for all.
    #[arg(long, env = "CHANDELLE_HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// The port to listen on; 0 lets the system choose.
    #[arg(long, env = "CHANDELLE_PORT", default_value_t = 8000)]
    pub port: u16,
    /// Seconds a running job may go on after SIGTERM before it is stopped.
    #[arg(long, env = "DRAIN_TIMEOUT_S", default_value_t = 30)]
    pub drain_timeout_s: u64,
    /// Seconds that fresh results wait to be fetched before the node exits.
    #[arg(long, env = "DRAIN_LINGER_S", default_value_t = 5)]
    pub drain_linger_s: u64,
}

/// Who may call.
#[derive(Debug, Clone, Args)]
pub struct AccessConfig {
    /// Bearer tokens, comma-separated: two while one replaces the other.
    #[arg(
        long = "node-tokens",
        env = "NODE_TOKENS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub tokens: Vec<Secret>,
    /// Serve everyone, with no token. Never on a network.
    #[arg(long)]
    pub insecure: bool,
}

const DEFAULT: &str = "default";

/// Which models there are and what they may take.
#[derive(Debug, Clone, Args)]
pub struct ModelsConfig {
    /// The folder of `<name>/manifest.toml`.
    #[arg(long, env = "MODELS_DIR", default_value = "models")]
    pub models_dir: PathBuf,
    /// The model without which the node is not ready.
    #[arg(long, env = "DEFAULT_MODEL", default_value = "embedded-scene")]
    pub default_model: String,
    /// Models to load at start, comma-separated, `default` for the default one, as is no name; the node is ready once
    /// they are in.
    #[arg(
        long, env = "PRELOAD_MODELS", value_delimiter = ',', num_args = 0..=1,
        default_missing_value = DEFAULT, value_name = "NAMES"
    )]
    pub preload: Option<Vec<String>>,
    /// What the loaded models may take together, by their manifests; the least recently used one makes room. 0 for no
    /// limit; when absent nine tenths of what is free on the card, or three quarters of the machine's memory.
    #[arg(long, env = "MEMORY_BUDGET_MB")]
    pub memory_budget_mb: Option<u64>,
    /// Whether a model that is not on this machine comes from its hub when it is first asked for, or is not served.
    #[arg(long, env = "MODELS_PULL", value_enum, default_value_t = PullWhen::Never)]
    pub models_pull: PullWhen,
}

/// When a node that serves may pull a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PullWhen {
    /// Only `gpu-node models pull` does.
    Never,
    /// With the first request that needs it.
    OnDemand,
}

/// How many jobs wait and how long results are kept.
#[derive(Debug, Clone, Args)]
pub struct JobsConfig {
    /// Jobs that may wait for each model while one runs; the next is answered 429.
    #[arg(long, env = "QUEUE_CAPACITY", default_value_t = 16)]
    pub queue_capacity: usize,
    /// Seconds an ended job and its results can be fetched, and an uploaded file ordered with.
    #[arg(long, env = "RESULTS_MAX_AGE_S", default_value_t = 600)]
    pub results_max_age_s: u64,
    /// Megabytes of results kept in memory, and again of uploaded files; the oldest go first.
    #[arg(long, env = "RESULTS_MAX_MB", default_value_t = 512)]
    pub results_max_mb: u64,
    /// Ended jobs with results kept; as many without, a tenth of which may be jobs that never began.
    #[arg(long, env = "RESULTS_MAX_COUNT", default_value_t = 1000)]
    pub results_max_count: usize,
}

/// How callers are told of their jobs.
#[derive(Debug, Clone, Args)]
pub struct WebhooksConfig {
    /// What webhooks are signed with, `whsec_` and base64; a new one at each start when absent.
    #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true)]
    pub webhook_secret: Option<Secret>,
    /// Send webhooks over plain HTTP and to private addresses too. Never on a network.
    #[arg(long, env = "WEBHOOKS_ALLOW_LOCAL")]
    pub webhooks_allow_local: bool,
}

/// How the node joins an edge by itself.
#[derive(Debug, Clone, Args)]
pub struct FleetConfig {
    /// The edge to join; needs the join token.
    #[arg(long, env = "EDGE_URL")]
    pub edge_url: Option<String>,
    /// The token that lets a node join.
    #[arg(long, env = "NODE_JOIN_TOKEN", hide_env_values = true)]
    pub node_join_token: Option<Secret>,
    /// Where the edge and callers reach this node; http://<host>:<port> for the edge when absent, and for callers the
    /// host they asked.
    #[arg(long, env = "NODE_PUBLIC_URL")]
    pub node_public_url: Option<String>,
    /// The node's name in the fleet, the same after a restart; <host name>-<port> when absent.
    #[arg(long, env = "NODE_ID")]
    pub node_id: Option<String>,
}

/// What is logged, to standard error.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// A level, or a list like `info,gpu_node=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Settings that contradict each other or cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("no token is configured: set NODE_TOKENS, or pass --insecure to serve everyone")]
    NoToken,
    #[error("EDGE_URL and NODE_JOIN_TOKEN are needed together: {0} is missing")]
    HalfAFleet(&'static str),
    #[error("{name} must start with http:// or https://, not {value:?}")]
    NotAUrl { name: &'static str, value: String },
    #[error("NODE_ID may have 1 to 100 letters, digits, dots, dashes and underscores, not {0:?}")]
    NodeId(String),
    #[error("LOG_LEVEL {0:?} is not understood")]
    LogLevel(String),
}

/// How to join a fleet, checked.
#[derive(Debug, Clone)]
pub struct FleetSettings {
    /// Without a slash at its end.
    pub edge_url: String,
    pub join_token: Secret,
    pub public_url: Option<String>,
    pub node_id: Option<String>,
}

impl AccessConfig {
    /// Fails when nobody could call and nobody said that everyone may.
    pub fn access(&self) -> Result<Access, ConfigError> {
        let tokens: Arc<[String]> = self
            .tokens
            .iter()
            .map(|token| token.expose().trim().to_owned())
            .filter(|token| !token.is_empty())
            .collect();
        match (tokens.is_empty(), self.insecure) {
            (false, _) => Ok(Access::Tokens(tokens)),
            (true, true) => Ok(Access::Open),
            (true, false) => Err(ConfigError::NoToken),
        }
    }
}

impl ModelsConfig {
    /// Bytes that the loaded models may take together, if there is a limit; `found` says what the device has.
    pub fn memory_limit(&self, found: impl FnOnce() -> Option<u64>) -> Option<u64> {
        match self.memory_budget_mb {
            Some(0) => None,
            Some(mb) => Some(mb.saturating_mul(1 << 20)),
            None => found(),
        }
    }

    /// The names of the models to load at start.
    pub fn preloaded(&self) -> Vec<&str> {
        let names = self.preload.iter().flatten().map(|name| name.trim());
        names
            .filter(|name| !name.is_empty())
            .map(|name| if name == DEFAULT { self.default_model.as_str() } else { name })
            .collect()
    }
}

impl JobsConfig {
    /// What the book of jobs keeps.
    pub fn retention(&self) -> Retention {
        Retention {
            max_age: Duration::from_secs(self.results_max_age_s),
            max_count: self.results_max_count,
            max_bytes: self.results_max_mb.saturating_mul(1 << 20),
        }
    }
}

impl WebhooksConfig {
    /// With a secret made up when none is configured.
    pub fn settings(&self) -> WebhookSettings {
        let configured = self.webhook_secret.clone().filter(|secret| !secret.expose().is_empty());
        let secret = configured.unwrap_or_else(|| {
            let key: [u8; 32] = rand::random();
            Secret::from(format!("whsec_{}", STANDARD.encode(key)))
        });
        let may_call_local = self.webhooks_allow_local;
        WebhookSettings { secret, may_call_local, pauses: Pauses::default() }
    }
}

impl FleetConfig {
    /// The node's own address, when it is configured.
    pub fn public_url(&self) -> Result<Option<String>, ConfigError> {
        url("NODE_PUBLIC_URL", self.node_public_url.as_deref())
    }

    /// `None` when the node stays alone.
    pub fn settings(&self) -> Result<Option<FleetSettings>, ConfigError> {
        let edge_url = url("EDGE_URL", self.edge_url.as_deref())?;
        let join_token = self.node_join_token.clone().filter(|token| !token.expose().is_empty());
        let (edge_url, join_token) = match (edge_url, join_token) {
            (Some(edge_url), Some(join_token)) => (edge_url, join_token),
            (Some(_), None) => return Err(ConfigError::HalfAFleet("NODE_JOIN_TOKEN")),
            (None, Some(_)) => return Err(ConfigError::HalfAFleet("EDGE_URL")),
            (None, None) => return Ok(None),
        };
        let node_id = self.node_id.clone().filter(|id| !id.is_empty());
        if let Some(id) = node_id.as_ref().filter(|id| !is_node_id(id)) {
            return Err(ConfigError::NodeId(id.clone()));
        }
        let public_url = self.public_url()?;
        Ok(Some(FleetSettings { edge_url, join_token, public_url, node_id }))
    }
}

fn url(name: &'static str, value: Option<&str>) -> Result<Option<String>, ConfigError> {
    let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    if !value.starts_with("http://") && !value.starts_with("https://") {
        return Err(ConfigError::NotAUrl { name, value: value.to_owned() });
    }
    Ok(Some(value.trim_end_matches('/').to_owned()))
}

/// It stands in a URL's path, so it needs no escaping.
pub fn is_node_id(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: ServeConfig,
    }

    fn parse(args: &[&str]) -> ServeConfig {
        Cli::parse_from([&["node"], args].concat()).config
    }

    #[test]
    fn a_node_without_tokens_refuses_to_start() {
        assert_eq!(parse(&[]).access.access().err(), Some(ConfigError::NoToken));
        assert_eq!(
            parse(&["--node-tokens", ","]).access.access().err(),
            Some(ConfigError::NoToken)
        );
        assert!(matches!(parse(&["--insecure"]).access.access(), Ok(Access::Open)));
    }

    #[test]
    fn two_tokens_are_valid_at_once() {
        let access = parse(&["--node-tokens", "old, new"]).access.access().unwrap();
        assert!(access.allows(Some("Bearer old")) && access.allows(Some("Bearer new")));
        assert!(!access.allows(Some("Bearer older")) && !access.allows(None));
    }

    #[test]
    fn a_configuration_never_prints_its_secrets() {
        let config = parse(&["--node-tokens", "hush", "--node-join-token", "whisper"]);
        let printed = format!("{config:?}");
        assert!(!printed.contains("hush") && !printed.contains("whisper"), "{printed}");
    }

    #[test]
    fn joining_needs_both_the_edge_and_the_token() {
        let settings = |args: &[&str]| parse(args).fleet.settings();
        assert!(settings(&[]).unwrap().is_none());
        let half = settings(&["--edge-url", "http://edge"]);
        assert_eq!(half.err(), Some(ConfigError::HalfAFleet("NODE_JOIN_TOKEN")));
        let half = settings(&["--node-join-token", "t"]);
        assert_eq!(half.err(), Some(ConfigError::HalfAFleet("EDGE_URL")));
        let whole = settings(&["--edge-url", "http://edge/", "--node-join-token", "t"]);
        assert_eq!(whole.unwrap().unwrap().edge_url, "http://edge");
    }

    #[test]
    fn a_node_id_that_would_need_escaping_is_refused() {
        let settings =
            parse(&["--edge-url", "http://e", "--node-join-token", "t", "--node-id", "a/b"]);
        assert_eq!(settings.fleet.settings().err(), Some(ConfigError::NodeId("a/b".to_owned())));
    }

    #[test]
    fn a_webhook_secret_is_made_up_when_none_is_configured() {
        let secret = |args: &[&str]| parse(args).webhooks.settings().secret;
        assert_eq!(secret(&["--webhook-secret", "whsec_QUJD"]).expose(), "whsec_QUJD");
        let (first, second) = (secret(&[]), secret(&["--webhook-secret", ""]));
        assert!(first.expose().starts_with("whsec_") && first.expose().len() == 50);
        assert_ne!(first, second);
    }

    #[test]
    fn a_memory_budget_that_is_set_wins_over_what_the_device_has() {
        let limit = |args: &[&str]| parse(args).models.memory_limit(|| Some(7));
        assert_eq!(limit(&[]), Some(7));
        assert_eq!(limit(&["--memory-budget-mb", "2"]), Some(2 << 20));
        assert_eq!(limit(&["--memory-budget-mb", "0"]), None);
    }

    #[test]
    fn preload_alone_means_the_default_model() {
        assert!(parse(&[]).models.preloaded().is_empty());
        assert_eq!(parse(&["--preload"]).models.preloaded(), ["embedded-scene"]);
        assert_eq!(parse(&["--preload", "a,default"]).models.preloaded(), ["a", "embedded-scene"]);
        assert!(parse(&["--preload", ""]).models.preloaded().is_empty());
    }
}
