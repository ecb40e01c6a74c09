//! What a node's lanes call when they need their models: pull where that is allowed, then read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    engines::{Devices, EngineError},
    registry::{
        HubError, HubSettings, LoadError, Manifest, PullObserver, Source, has_engine, is_here,
        mend_model, pull_model, pull_words,
    },
    scheduler::LoadModel,
};

/// How models of hubs come to this node while it serves; `None` when they do not.
pub type OnDemand = Option<Arc<HubSettings>>;

/// Reads a model's files; blocking.
pub type LoadFiles<M> = dyn FnMut(&Manifest, &Devices) -> Result<M, LoadError> + Send;

/// Loads what a manifest names.
pub struct Loader<M> {
    pub manifest: Manifest,
    pub devices: Devices,
    pub on_demand: OnDemand,
    pub load: Box<LoadFiles<M>>,
    /// The last load failed, and the files may be to blame.
    pub has_failed: bool,
}

impl<M> LoadModel<M> for Loader<M> {
    fn fetch(&mut self, is_wanted: &(dyn Fn() -> bool + Sync)) -> Result<(), EngineError> {
        let Some(hub) = &self.on_demand else { return Ok(()) };
        if !is_here(&self.manifest) {
            return pull_for_lane(&self.manifest, hub, is_wanted);
        }
        if self.has_failed && matches!(self.manifest.source, Source::Hub { .. }) {
            return mend_for_lane(&self.manifest, hub, is_wanted);
        }
        Ok(())
    }

    fn load(&mut self) -> Result<M, EngineError> {
        let loaded = (self.load)(&self.manifest, &self.devices);
        let loaded = loaded.map_err(|error| EngineError::from_text(error.to_string()));
        self.has_failed = matches!(loaded, Err(EngineError::Failed(_)));
        loaded
    }
}

/// Whether the node offers the model; what has to be fetched first is no reason not to start.
pub fn can_serve(manifest: &Manifest, on_demand: &OnDemand) -> bool {
    let model = &manifest.name;
    if is_here(manifest) {
        return true;
    }
    let is_coming = on_demand.is_some()
        && matches!(manifest.source, Source::Hub { .. })
        && has_engine(manifest);
    if is_coming {
        tracing::info!(%model, "not on this machine: it comes with its first request");
    } else {
        tracing::info!(%model, "not served: `gpu-node models pull {model}` brings it here");
    }
    is_coming
}

/// Has those files here that tell a model's words, if they may come while serving.
pub fn fetch_words(manifest: &Manifest, on_demand: &OnDemand) -> Result<(), String> {
    let Some(hub) = on_demand.as_ref().filter(|_| matches!(manifest.source, Source::Hub { .. }))
    else {
        return Ok(());
    };
    let log = PullLog::new(&manifest.name, &|| true);
    pull_words(manifest, hub, &log).map(drop).map_err(|error| error.to_string())
}

fn pull_for_lane(
    manifest: &Manifest,
    hub: &HubSettings,
    is_wanted: &(dyn Fn() -> bool + Sync),
) -> Result<(), EngineError> {
    let (model, began) = (&manifest.name, Instant::now());
    tracing::info!(%model, "pulling the model");
    let log = PullLog::new(model, is_wanted);
    match pull_model(manifest, hub, &log) {
        Ok(files) => {
            let seconds = began.elapsed().as_secs();
            tracing::info!(%model, files, bytes = log.bytes(), seconds, "model pulled");
            Ok(())
        }
        Err(HubError::Stopped) => {
            tracing::info!(%model, bytes = log.bytes(), "pull stopped: nobody waits any more");
            Err(EngineError::Cancelled)
        }
        Err(error) => Err(EngineError::Failed(error.to_string())),
    }
}

/// A manifest need not give the sizes of its files: when they could not be read, the hub is asked.
fn mend_for_lane(
    manifest: &Manifest,
    hub: &HubSettings,
    is_wanted: &(dyn Fn() -> bool + Sync),
) -> Result<(), EngineError> {
    let model = &manifest.name;
    let log = PullLog::new(model, is_wanted);
    match mend_model(manifest, hub, &log) {
        Ok(()) => tracing::info!(%model, bytes = log.bytes(), "files compared with the hub"),
        Err(HubError::Stopped) => return Err(EngineError::Cancelled),
        // What is here is all there is: the load says what is wrong with it.
        Err(error) => tracing::warn!(%model, %error, "files not compared with the hub"),
    }
    Ok(())
}

/// Writes a pull's troubles into the log, and ends it when nobody waits for it.
struct PullLog<'a> {
    model: &'a str,
    bytes: AtomicU64,
    is_wanted: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> PullLog<'a> {
    fn new(model: &'a str, is_wanted: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { model, bytes: AtomicU64::new(0), is_wanted }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl PullObserver for PullLog<'_> {
    fn advanced(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn took_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn retries(&self, path: &str, why: &HubError) {
        tracing::warn!(model = self.model, path, %why, "pull goes on after an error");
    }

    fn waits(&self, path: &str) {
        tracing::info!(model = self.model, path, "another process pulls this file");
    }

    fn is_wanted(&self) -> bool {
        (self.is_wanted)()
    }
}
