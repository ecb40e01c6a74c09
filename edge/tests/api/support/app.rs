//! The whole app in process, on fakes.

use std::sync::Arc;

use axum::http::Method;
use edge::{
    auth::{TokenVerifier, VerifierPorts},
    caller::{AccessToken, Caller},
    config::{Config, Environment, Secret, SupabaseConfig, TokenSigning, WebhookConfig},
    state::AppState,
};

use shared::signing::SigningSecret;

use super::{
    answer::Call,
    issuer::{FakeKeySets, HS256_SECRET, claims, hs256_token, issuer_config},
    keys::PureRustSignatures,
    runtime::{CountingRandom, FakeBackground, FakeRateLimiter},
    text_rooms::FakeTextRooms,
    world::{GRACE_S, IMAGE_STEPS, LEASE_S, MODEL, TEXT_MODEL, WEBHOOK_SECRET, World, caller},
};

pub const NODE_JOIN_TOKEN: &str = "join-token";
/// Signs tokens for the database.
pub const DATABASE_SECRET: &str = "what the database and the edge share";
pub const METRICS_TOKEN: &str = "metrics-token";
pub const CORS_ORIGIN: &str = "https://app.example";

/// A valid configuration of a local deployment.
pub fn config() -> Config {
    Config {
        environment: Environment::Local,
        supabase: SupabaseConfig {
            url: "https://auth.example".to_owned(),
            publishable_key: "sb_publishable_test".to_owned(),
            secret_key: Secret::new("sb_secret_test"),
            token_signing: Some(TokenSigning::Hs256(Secret::new(DATABASE_SECRET))),
        },
        issuers: vec![issuer_config()],
        cors_origins: vec![CORS_ORIGIN.to_owned()],
        node_token: Secret::new("node-token"),
        node_join_token: Secret::new(NODE_JOIN_TOKEN),
        metrics_token: Secret::new(METRICS_TOKEN),
        discord_webhook_url: None,
        webhook: Some(WebhookConfig {
            url: Secret::new("https://sorami.example/api/webhooks/image-completion"),
            secret: Secret::new(WEBHOOK_SECRET),
            signing: SigningSecret::parse(WEBHOOK_SECRET).unwrap(),
        }),
        image_model: MODEL.to_owned(),
        image_steps: IMAGE_STEPS,
        image_url_days: 365,
        input_image_origins: Vec::new(),
        dns_url: None,
        scene_model: MODEL.to_owned(),
        text_model: TEXT_MODEL.to_owned(),
        lease_s: LEASE_S,
        queued_grace_s: GRACE_S,
    }
}

/// The app, and the world behind it.
pub struct TestApp {
    pub world: World,
    pub key_sets: FakeKeySets,
    pub rate_limiter: FakeRateLimiter,
    pub(super) background: FakeBackground,
    pub text_rooms: FakeTextRooms,
    pub state: Arc<AppState>,
}

impl TestApp {
    /// An app without nodes.
    pub fn new() -> Self {
        Self::on(World::empty(), config())
    }

    /// An app on this world, configured like this.
    pub fn on(world: World, config: Config) -> Self {
        let key_sets = FakeKeySets::new(world.clock.clone());
        let ports = VerifierPorts {
            key_sets: Arc::new(key_sets.clone()),
            signatures: Arc::new(PureRustSignatures),
            clock: Arc::new(world.clock.clone()),
        };
        let (background, rate_limiter) = (FakeBackground::default(), FakeRateLimiter::default());
        let text_rooms = FakeTextRooms::new(&world, background.clone());
        let state = AppState {
            tokens: Arc::new(TokenVerifier::new(&config, ports)),
            clock: Arc::new(world.clock.clone()),
            random: Arc::new(CountingRandom::default()),
            background: Arc::new(background.clone()),
            rate_limiter: Arc::new(rate_limiter.clone()),
            account: Arc::new(world.gates.clone()),
            job_room: Arc::new(world.gates.clone()),
            fleet: Arc::new(world.nodes.clone()),
            node_client: Arc::new(world.nodes.clone()),
            text_nodes: Arc::new(world.writers.clone()),
            text_rooms: Arc::new(text_rooms.clone()),
            texts: Arc::new(world.database.clone()),
            queues: Arc::new(world.queues.clone()),
            discord: Some(Arc::new(world.discord.clone())),
            webhook: config.webhook.as_ref().map(|_| Arc::new(world.receiver.clone()) as _),
            web: Arc::new(world.web.clone()),
            files: Arc::new(world.database.clone()),
            jobs: Arc::new(world.database.clone()),
            scenes: Arc::new(world.database.clone()),
            images: Arc::new(world.database.clone()),
            outbox: Arc::new(world.database.clone()),
            admin: Arc::new(world.database.clone()),
            config: Arc::new(config),
        };
        Self { world, key_sets, rate_limiter, background, text_rooms, state: Arc::new(state) }
    }

    /// A person's token, known to the database too. Person 200 is the world's Alice.
    pub fn sign_in(&self, number: u8) -> String {
        self.sign_in_as(number, None)
    }

    /// The same, with a role.
    pub fn sign_in_as(&self, number: u8, role: Option<&str>) -> String {
        let token = hs256_token(&claims(&self.world.clock, number, role), HS256_SECRET.as_bytes());
        self.world
            .database
            .sign_in(&Caller { token: AccessToken::new(&*token), ..caller(number, role) });
        token
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call::new(self, method, path)
    }
}
