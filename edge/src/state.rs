//! The ports that handlers, consumers and crons may use.

use std::{cell::RefCell, sync::Arc};

use worker::Env;

use crate::{
    adapters::{
        account::DurableAccount,
        background::WaitUntil,
        clock::WorkerClock,
        discord::HttpDiscordWebhook,
        fleet::DurableFleet,
        job_room::DurableJobRoom,
        jwks::HttpKeySets,
        node_client::HttpNodeClient,
        queues::BindingQueues,
        random::WorkerRandom,
        rate_limiter::BindingRateLimiter,
        supabase::{
            SupabaseAdminStore, SupabaseClient, SupabaseFiles, SupabaseImageStore,
            SupabaseJobStore, SupabaseOutboxStore, SupabaseSceneStore, SupabaseTextStore,
        },
        text_node::HttpTextNodes,
        text_rooms::DurableTextRooms,
        web::HttpWeb,
        web_crypto::SubtleSignatures,
        webhook::HttpWebhookReceiver,
    },
    auth::{TokenVerifier, VerifierPorts},
    config::{Config, ConfigError},
    ports::{
        delivery::{DiscordWebhook, Queues, WebhookReceiver},
        files::Files,
        fleet::{Fleet, NodeClient},
        gates::{Account, JobRoom},
        stores::{AdminStore, ImageStore, JobStore, OutboxStore, SceneStore},
        system::{Background, Clock, Random, RateLimiter},
        text::{TextNodes, TextRooms, TextStore},
        web::Web,
    },
};

/// One per isolate in the Worker, one per test natively.
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
    pub text_nodes: Arc<dyn TextNodes>,
    pub text_rooms: Arc<dyn TextRooms>,
    pub queues: Arc<dyn Queues>,
    pub discord: Option<Arc<dyn DiscordWebhook>>,
    pub webhook: Option<Arc<dyn WebhookReceiver>>,
    pub web: Arc<dyn Web>,
    pub files: Arc<dyn Files>,
    pub jobs: Arc<dyn JobStore>,
    pub scenes: Arc<dyn SceneStore>,
    pub images: Arc<dyn ImageStore>,
    pub texts: Arc<dyn TextStore>,
    pub outbox: Arc<dyn OutboxStore>,
    pub admin: Arc<dyn AdminStore>,
}

thread_local! {
    /// May be empty: an isolate starts without, and loses it when it is reset.
    static STATE: RefCell<Option<Arc<AppState>>> = const { RefCell::new(None) };
}

impl AppState {
    /// The state of this isolate. Bindings belong to the isolate and not to a request, so it is made once; what does
    /// belong to a request (stubs, calls, `waitUntil`) is looked up when it is used.
    pub fn of_isolate(env: &Env) -> Result<Arc<Self>, ConfigError> {
        if let Some(state) = STATE.with_borrow(Clone::clone) {
            return Ok(state);
        }
        let state = Arc::new(Self::from_env(env)?);
        STATE.with_borrow_mut(|kept| *kept = Some(Arc::clone(&state)));
        Ok(state)
    }

    /// The Worker's adapters: the only place where they are chosen.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let read = |name: &str| env.var(name).ok().map(|text| text.to_string());
        let config = Arc::new(Config::from_source(&read)?);
        let env = || env.clone();
        let clock = Arc::new(WorkerClock);
        let client = Arc::new(SupabaseClient {
            url: config.supabase.url.clone(),
            publishable_key: config.supabase.publishable_key.clone(),
            secret_key: config.supabase.secret_key.reveal().to_owned(),
        });
        let client = || Arc::clone(&client);
        let verifier_ports = VerifierPorts {
            clock: clock.clone(),
            signatures: Arc::new(SubtleSignatures),
            key_sets: Arc::new(HttpKeySets),
        };
        let discord = config.discord_webhook_url.as_ref().map(|url| {
            let url = url.reveal().to_owned();
            Arc::new(HttpDiscordWebhook { url }) as Arc<dyn DiscordWebhook>
        });
        let webhook = config.webhook.as_ref().map(|webhook| {
            let url = webhook.url.reveal().to_owned();
            Arc::new(HttpWebhookReceiver { url }) as Arc<dyn WebhookReceiver>
        });
        Ok(Self {
            tokens: Arc::new(TokenVerifier::new(&config, verifier_ports)),
            clock,
            random: Arc::new(WorkerRandom),
            background: Arc::new(WaitUntil),
            rate_limiter: Arc::new(BindingRateLimiter { env: env() }),
            account: Arc::new(DurableAccount { env: env() }),
            job_room: Arc::new(DurableJobRoom { env: env() }),
            fleet: Arc::new(DurableFleet { env: env() }),
            node_client: Arc::new(HttpNodeClient {
                token: config.node_token.reveal().to_owned(),
                storage: client(),
            }),
            text_nodes: Arc::new(HttpTextNodes { token: config.node_token.reveal().to_owned() }),
            text_rooms: Arc::new(DurableTextRooms { env: env() }),
            queues: Arc::new(BindingQueues { env: env() }),
            discord,
            webhook,
            web: Arc::new(HttpWeb { dns_url: config.dns_url.clone() }),
            files: Arc::new(SupabaseFiles { client: client() }),
            jobs: Arc::new(SupabaseJobStore { client: client() }),
            scenes: Arc::new(SupabaseSceneStore { client: client() }),
            images: Arc::new(SupabaseImageStore { client: client() }),
            texts: Arc::new(SupabaseTextStore { client: client() }),
            outbox: Arc::new(SupabaseOutboxStore { client: client() }),
            admin: Arc::new(SupabaseAdminStore { client: client() }),
            config,
        })
    }
}
