//! Where the running system is, and how to break its parts.

use std::{env, fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::{process::Command, time};

/// The parts that can be killed and started again.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    Node,
    Edge,
    Supabase,
    /// The stand-in that resolves names.
    Resolver,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Edge => "edge",
            Self::Supabase => "supabase",
            Self::Resolver => "resolver",
        }
    }
}

/// Somebody who has an account already.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    pub email: String,
    pub password: String,
}

/// `stack.json`, as `npm run stack -- up` writes it.
#[derive(Debug, Clone, Deserialize)]
pub struct Stack {
    pub edge_url: String,
    pub node_url: String,
    pub supabase_url: String,
    pub publishable_key: String,
    pub secret_key: String,
    pub node_token: String,
    /// The stand-in for Discord's webhook.
    pub discord_url: String,
    pub(crate) plan: Plan,
    /// The stand-in for the product's own server, and for where callers' pictures lie.
    pub receiver_url: String,
    /// The stand-in for other issuers of tokens.
    pub issuer_url: String,
    /// The stand-in for a resolver of names.
    pub resolver_url: String,
    pub admin_user: Account,
    #[serde(skip)]
    dir: PathBuf,
}

/// What of its plan only the stories' own stand-ins need.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Plan {
    pub(crate) secrets: Secrets,
}

/// Secrets that no client has.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) node_join_token: String,
}

impl Stack {
    /// The stack that `CHANDELLE_STACK` points to.
    pub fn running() -> Result<Self> {
        let path = env::var_os("CHANDELLE_STACK")
            .context("CHANDELLE_STACK is not set: run these tests with `npm run e2e`")?;
        let path = PathBuf::from(path);
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut stack: Self = serde_json::from_slice(&text)?;
        stack.dir = path.parent().context("stack.json has a folder")?.to_owned();
        Ok(stack)
    }

    /// SIGKILL, as a machine that loses power.
    pub async fn kill(&self, part: Part) -> Result<()> {
        self.control("kill", part).await
    }

    /// Starts it again on the same port and data, and waits until it answers.
    pub async fn start(&self, part: Part) -> Result<()> {
        self.control("start", part).await
    }

    async fn control(&self, verb: &str, part: Part) -> Result<()> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scripts/stack.mjs");
        let mut command = Command::new("node");
        command.arg(script).args([verb, part.name(), "--dir"]).arg(&self.dir);
        let output = time::timeout(Duration::from_secs(120), command.output()).await??;
        ensure!(
            output.status.success(),
            "{verb} {}: {}",
            part.name(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Calls the edge's cron, which no clock calls locally.
    pub async fn run_cron(&self) -> Result<()> {
        let url = format!("{}/cdn-cgi/handler/scheduled?cron=*+*+*+*+*", self.edge_url);
        reqwest::get(url).await?.error_for_status()?;
        Ok(())
    }
}

/// Asks again until there is an answer, for as long as `limit`.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut probe: F) -> Result<T>
where
    F: AsyncFnMut() -> Result<Option<T>>,
{
    let deadline = time::Instant::now() + limit;
    let mut last_error = None;
    while time::Instant::now() < deadline {
        match probe().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => last_error = Some(error),
        }
        time::sleep(Duration::from_millis(250)).await;
    }
    match last_error {
        Some(error) => Err(error.context(format!("{what}: not within {limit:?}"))),
        None => anyhow::bail!("{what}: not within {limit:?}"),
    }
}
