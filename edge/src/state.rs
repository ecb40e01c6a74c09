//! The ports that handlers, consumers and crons may use.

use std::sync::Arc;

use crate::{
    auth::TokenVerifier,
    config::Config,
    ports::{
        delivery::{DiscordWebhook, Queues},
        fleet::{Fleet, NodeClient},
        gates::{Account, JobRoom},
        stores::{AdminStore, JobStore, OutboxStore, SceneStore},
        system::{Background, Clock, Random, RateLimiter},
    },
};

/// One per request in the Worker, one per test natively.
#[derive(Clone)]
pub struct AppState {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub background: Arc<dyn Background>,
    pub rate_limiter: Arc<dyn RateLimiter>,
    pub tokens: Arc<TokenVerifier>,
    pub account: Arc<dyn Account>,
    pub job_room: Arc<dyn JobRoom>,
    pub fleet: Arc<dyn Fleet>,
    pub node_client: Arc<dyn NodeClient>,
    pub queues: Arc<dyn Queues>,
    pub discord: Option<Arc<dyn DiscordWebhook>>,
    pub jobs: Arc<dyn JobStore>,
    pub scenes: Arc<dyn SceneStore>,
    pub outbox: Arc<dyn OutboxStore>,
    pub admin: Arc<dyn AdminStore>,
}
