//! Telling callers elsewhere what became of their jobs: signed, tried again, and never into the node's own network.
//!
//! What is sent and when is `dialects/`'s business; here a body goes to a URL, or gives up.

mod address;
mod client;
mod plan;

pub use client::{NotTaken, Webhooks};
pub use plan::{Pauses, Plan};

use shared::signing::SecretError;
use thiserror::Error;

use crate::access::Secret;

/// How the node calls its callers.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// `whsec_` and base64, as receivers have it too.
    pub secret: Secret,
    /// Whether plain HTTP and private addresses are allowed: for trying things out on one's own machine.
    pub may_call_local: bool,
    pub pauses: Pauses,
}

/// Why no webhooks can be sent.
#[derive(Debug, Error)]
pub enum WebhooksError {
    #[error("WEBHOOK_SECRET cannot be used: {0}")]
    Secret(#[from] SecretError),
    #[error("the webhook client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}
