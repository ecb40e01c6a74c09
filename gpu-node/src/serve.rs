//! `gpu-node serve`: from a configuration to a listening node. What happens from then on is `lifetime.rs`'s.

use std::{io, net::SocketAddr, panic, process::ExitCode, sync::Arc, thread, time::Duration};

use shared::api::fleet::RegisterNode;
use thiserror::Error;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::{
    catalog::{Catalog, LaneCommons, ServedEmbeddings, ServedLane, ServedModel, ServedText},
    config::{
        ConfigError, FleetSettings, LogConfig, LogFormat, ModelsConfig, PullWhen, ServeConfig,
    },
    engines::{Devices, embeddings, text::TEXT_ENGINE_VERSION},
    fleet::{EdgeClient, FleetError, Membership, Pace},
    jobs::{JobBook, Jobs, SystemClock},
    lifetime::{Patience, serve_until, watch_signals},
    loaders::{Loader, OnDemand, can_serve, fetch_words},
    registry::{
        Defaults, EmbeddingDefaults, HubError, HubSettings, LoadError, Manifest, ManifestError,
        Registry, SharedWords, TextDefaults, load_embedding_engine, load_image_engine,
        load_text_model, load_tokenizer,
    },
    reload::{ReloadPace, keep_needed_loading},
    say::say,
    scheduler::{
        EmbeddingLane, EmbeddingLaneSettings, MemoryBudget, Metrics, TextLane, TextLaneSettings,
    },
    state::AppState,
    text::{EmbeddingVocabulary, LazyLanguage, LazyVocabulary, ModelLanguage},
    webhooks::{Webhooks, WebhooksError},
};

/// Why the node did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Models(#[from] ManifestError),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(
        "{names} cannot be preloaded: no such model of {folder} is on this machine; `gpu-node models pull` brings those of a hub"
    )]
    NoSuchModel { names: String, folder: String },
    #[error("cannot listen on {address}: {source}")]
    Bind { address: String, source: io::Error },
    #[error("the fleet client cannot be set up: {0}")]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Webhooks(#[from] WebhooksError),
    #[error("the system refused what the node needs: {0}")]
    System(#[from] io::Error),
}

/// Runs the command until a signal ends it; 2 when it could not start.
pub fn run(config: ServeConfig) -> ExitCode {
    let outcome = start_logs(&config.log).map_err(StartError::from).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(serve(config));
        // An engine that never came to its next `emit` must not keep the process.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

fn start_logs(config: &LogConfig) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.log_level)
        .map_err(|_| ConfigError::LogLevel(config.log_level.clone()))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // It would be told to standard error too, with a panic.
    let logs = logs.log_internal_errors(false);
    // An error means that the process logs already.
    let _ = match config.log_format {
        LogFormat::Text => logs.with_ansi(false).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    // The standard hook prints the panic's text, which may quote a prompt.
    panic::set_hook(Box::new(|panicked| {
        let location = panicked.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        tracing::error!(location, thread = thread.name().unwrap_or_default(), "panicked");
    }));
    Ok(())
}

async fn serve(config: ServeConfig) -> Result<(), StartError> {
    let access = config.access.access()?;
    let fleet = config.fleet.settings()?;
    let metrics = Arc::new(Metrics::default());
    let devices = Devices::detect();
    let limit_bytes = config.models.memory_limit(|| devices.room_bytes());
    tracing::info!(device = devices.kind(), limit_bytes, "room for models");
    let commons = LaneCommons {
        capacity: config.jobs.queue_capacity,
        budget: Arc::new(MemoryBudget::new(limit_bytes)),
        metrics: metrics.clone(),
    };
    let catalog = open_catalog(&config.models, &devices, &commons)?;
    let (host, port) = (config.server.host.as_str(), config.server.port);
    let listener = TcpListener::bind((host, port))
        .await
        .map_err(|source| StartError::Bind { address: format!("{host}:{port}"), source })?;

    let book = JobBook::new(config.jobs.retention(), Arc::new(SystemClock), metrics.clone());
    let jobs = Arc::new(Jobs::new(catalog, Arc::new(book)));
    let client = match fleet {
        Some(settings) => Some(edge_client(settings, &jobs, listener.local_addr()?)?),
        None => None,
    };
    let webhooks = Webhooks::new(config.webhooks.settings())?;
    let state = AppState {
        webhooks: Some(Arc::new(webhooks)),
        public_url: config.fleet.public_url()?.map(Arc::from),
        ..AppState::new(jobs, metrics, access)
    };
    tokio::spawn(keep_needed_loading(state.jobs.clone(), ReloadPace::default()));
    let patience = Patience {
        drain: Duration::from_secs(config.server.drain_timeout_s),
        linger: Duration::from_secs(config.server.drain_linger_s),
    };
    let (mut first, mut second) = watch_signals()?;
    let membership =
        client.map(|client| Membership::start(client, state.jobs.clone(), Pace::default()));
    let served = serve_until(listener, state, membership, patience, async move {
        let _ = first.wait_for(|count| *count >= 1).await;
    });
    tokio::select! {
        served = served => Ok(served?),
        _ = second.wait_for(|count| *count >= 2) => {
            tracing::warn!("stopped at once by a second signal");
            Ok(())
        }
    }
}

fn open_catalog(
    config: &ModelsConfig,
    devices: &Devices,
    commons: &LaneCommons,
) -> Result<Catalog, StartError> {
    let registry = Registry::open(&config.models_dir)?;
    let on_demand: OnDemand = match config.models_pull {
        PullWhen::Never => None,
        PullWhen::OnDemand => Some(Arc::new(HubSettings::from_env()?)),
    };
    let start = Start { devices, on_demand: &on_demand, commons };
    let models = registry
        .models()
        .iter()
        .filter(|manifest| can_serve(manifest, &on_demand))
        .map(|manifest| start.model(manifest))
        .collect::<io::Result<Vec<_>>>()?;
    let mut catalog = Catalog::new(models, config.default_model.clone(), devices.kind());
    let mut missing = Vec::new();
    for name in config.preloaded() {
        if !catalog.preload(name) {
            missing.push(name);
        }
    }
    if !missing.is_empty() {
        let folder = config.models_dir.display().to_string();
        return Err(StartError::NoSuchModel { names: missing.join(", "), folder });
    }
    Ok(catalog)
}

/// What the lanes of one node are started with.
struct Start<'a> {
    devices: &'a Devices,
    on_demand: &'a OnDemand,
    commons: &'a LaneCommons,
}

impl Start<'_> {
    fn model(&self, manifest: &Manifest) -> io::Result<ServedModel> {
        match &manifest.defaults {
            Defaults::Image(_) => {
                let load = self.loader(manifest, load_image_engine);
                let mut manifest = manifest.clone();
                let (on_card, weights) = (manifest.memory_bytes, manifest.dtype.into());
                manifest.memory_bytes = self.devices.memory_bytes(on_card, weights);
                ServedModel::start(manifest, load, self.commons)
            }
            Defaults::Text(defaults) => self.text(manifest, defaults),
            Defaults::Embedding(defaults) => self.embeddings(manifest, defaults),
        }
    }

    fn text(&self, manifest: &Manifest, defaults: &TextDefaults) -> io::Result<ServedModel> {
        let settings = TextLaneSettings {
            model: manifest.name.clone(),
            capacity: self.commons.capacity,
            memory_bytes: manifest.memory_bytes,
            batch: defaults.batch_settings(self.devices.kind() == "cuda"),
        };
        let words = Arc::new(SharedWords::new(manifest.clone()));
        let load = {
            let words = words.clone();
            self.loader(manifest, move |manifest, devices| {
                load_text_model(manifest, devices, &*words.get()?)
            })
        };
        let (budget, metrics) = (self.commons.budget.clone(), self.commons.metrics.clone());
        let lane = TextLane::start(settings, load, budget, metrics)?;
        let (copy, on_demand) = (manifest.clone(), self.on_demand.clone());
        let context_tokens = defaults.context_tokens;
        let language = LazyLanguage::new(Box::new(move || {
            fetch_words(&copy, &on_demand)?;
            let words = words.get().map_err(|error| error.to_string())?;
            Ok(Arc::new(ModelLanguage::new(words, context_tokens)))
        }));
        let text = ServedText {
            runner: Box::new(lane),
            defaults: defaults.clone(),
            context_tokens,
            language,
        };
        Ok(ServedModel {
            manifest: manifest.clone(),
            engine_version: TEXT_ENGINE_VERSION,
            lane: ServedLane::Text(text),
        })
    }

    fn embeddings(
        &self,
        manifest: &Manifest,
        defaults: &EmbeddingDefaults,
    ) -> io::Result<ServedModel> {
        let is_card = self.devices.kind() == "cuda";
        let settings = EmbeddingLaneSettings {
            model: manifest.name.clone(),
            capacity: self.commons.capacity,
            memory_bytes: manifest.memory_bytes,
            batch_tokens: defaults.batch_tokens(is_card),
        };
        let load = self.loader(manifest, load_embedding_engine);
        let (budget, metrics) = (self.commons.budget.clone(), self.commons.metrics.clone());
        let lane = EmbeddingLane::start(settings, load, budget, metrics)?;
        let (copy, on_demand) = (manifest.clone(), self.on_demand.clone());
        let context_tokens = defaults.context_tokens;
        let vocabulary = LazyVocabulary::new(Box::new(move || {
            fetch_words(&copy, &on_demand)?;
            let tokenizer = load_tokenizer(&copy).map_err(|error| error.to_string())?;
            Ok(Arc::new(EmbeddingVocabulary::new(tokenizer, context_tokens)))
        }));
        let embeddings = ServedEmbeddings { runner: Box::new(lane), context_tokens, vocabulary };
        Ok(ServedModel {
            manifest: manifest.clone(),
            engine_version: embeddings::ENGINE_VERSION,
            lane: ServedLane::Embeddings(embeddings),
        })
    }

    fn loader<M>(
        &self,
        manifest: &Manifest,
        load: impl FnMut(&Manifest, &Devices) -> Result<M, LoadError> + Send + 'static,
    ) -> Box<Loader<M>> {
        let (manifest, devices) = (manifest.clone(), self.devices.clone());
        let load = Box::new(load);
        let on_demand = self.on_demand.clone();
        Box::new(Loader { manifest, devices, on_demand, load, has_failed: false })
    }
}

fn edge_client(
    settings: FleetSettings,
    jobs: &Jobs,
    address: SocketAddr,
) -> Result<EdgeClient, FleetError> {
    let node = RegisterNode {
        node_id: settings.node_id.unwrap_or_else(|| default_node_id(address.port())),
        url: settings.public_url.unwrap_or_else(|| default_url(address)),
        models: jobs.catalog.models().iter().map(|model| model.manifest.name.clone()).collect(),
        capacity: jobs.catalog.capacity() as u32,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    EdgeClient::new(settings.edge_url, settings.join_token, node)
}

fn default_url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        tracing::warn!(
            "NODE_PUBLIC_URL is not set: an edge on another machine will not find this node"
        );
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}

fn default_node_id(port: u16) -> String {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let plain: String = host
        .chars()
        .take(90)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '-' })
        .collect();
    format!("{plain}-{port}")
}
