//! The models this node serves, each with its lane.

use std::{io, sync::Arc};

use crate::{
    engines::image::{ENGINE_VERSION, ImageEngine},
    registry::{Manifest, TextDefaults},
    scheduler::{
        Lane, LaneControl, LaneSettings, LaneStatus, LoadEngine, LoadState, MemoryBudget, Metrics,
    },
    text::{EmbeddingRunner, LazyLanguage, LazyVocabulary, TextRunner},
};

/// A model and the lane that runs it.
pub struct ServedModel {
    pub manifest: Manifest,
    pub engine_version: &'static str,
    pub lane: ServedLane,
}

/// What a model does decides what its lane takes.
pub enum ServedLane {
    Image(Lane<ImageEngine>),
    Text(ServedText),
    Embeddings(ServedEmbeddings),
}

/// A text model: who runs it and what it knows of words.
pub struct ServedText {
    pub runner: Box<dyn TextRunner>,
    /// What a request gets that leaves things open.
    pub defaults: TextDefaults,
    /// For the list of models; `None` when that is only known once the model is read.
    pub context_tokens: Option<usize>,
    pub language: LazyLanguage,
}

/// An embedding model: who runs it and what it knows of words.
pub struct ServedEmbeddings {
    pub runner: Box<dyn EmbeddingRunner>,
    /// For the list of models; `None` when that is only known once the model is read.
    pub context_tokens: Option<usize>,
    pub vocabulary: LazyVocabulary,
}

/// What the lanes of one node have in common.
#[derive(Clone)]
pub struct LaneCommons {
    /// Jobs that may wait in each.
    pub capacity: usize,
    pub budget: Arc<MemoryBudget>,
    pub metrics: Arc<Metrics>,
}

impl ServedModel {
    /// Starts an image model's lane; the weights stay on the disk until they are needed.
    pub fn start(
        manifest: Manifest,
        load: LoadEngine<ImageEngine>,
        commons: &LaneCommons,
    ) -> io::Result<Self> {
        let settings = LaneSettings {
            model: manifest.name.clone(),
            capacity: commons.capacity,
            memory_bytes: manifest.memory_bytes,
        };
        let lane = Lane::start(settings, load, commons.budget.clone(), commons.metrics.clone())?;
        Ok(Self { manifest, engine_version: ENGINE_VERSION, lane: ServedLane::Image(lane) })
    }

    /// Its lane, whatever it does.
    pub fn control(&self) -> &dyn LaneControl {
        match &self.lane {
            ServedLane::Image(lane) => lane,
            ServedLane::Text(text) => &*text.runner,
            ServedLane::Embeddings(embeddings) => &*embeddings.runner,
        }
    }

    /// How its lane is doing.
    pub fn status(&self) -> LaneStatus {
        self.control().status()
    }

    /// What fixes an answer together with the request and its seed.
    pub fn fingerprint(&self) -> String {
        format!("{}-{}", self.manifest.revision, self.engine_version)
    }
}

/// All models of a node, and which of them it must be able to run to be of use.
pub struct Catalog {
    models: Vec<ServedModel>,
    default_model: String,
    /// Loaded at start.
    preloaded: Vec<String>,
    /// `cuda` or `cpu`.
    pub device: &'static str,
}

impl Catalog {
    /// The default model need not be among them; the node is then never ready.
    pub fn new(models: Vec<ServedModel>, default_model: String, device: &'static str) -> Self {
        Self { models, default_model, preloaded: Vec::new(), device }
    }

    /// Every model, in the order of the models folder.
    pub fn models(&self) -> &[ServedModel] {
        &self.models
    }

    /// The model of that name.
    pub fn find(&self, name: &str) -> Option<&ServedModel> {
        self.models.iter().find(|model| model.manifest.name == name)
    }

    /// Has the model of that name brought into memory, and again should that fail; `false` when there is none.
    pub fn preload(&mut self, name: &str) -> bool {
        let Some(model) = self.find(name) else { return false };
        model.control().preload();
        self.preloaded.push(name.to_owned());
        true
    }

    /// The models that the node must be able to run: the default one, and those loaded at start.
    pub fn needed(&self) -> impl Iterator<Item = &ServedModel> {
        let is_needed =
            |name: &String| *name == self.default_model || self.preloaded.contains(name);
        self.models.iter().filter(move |model| is_needed(&model.manifest.name))
    }

    /// The image model of that name.
    pub fn find_image(&self, name: &str) -> Option<(&ServedModel, &Lane<ImageEngine>)> {
        let model = self.find(name)?;
        match &model.lane {
            ServedLane::Image(lane) => Some((model, lane)),
            _ => None,
        }
    }

    /// Jobs the node takes before it refuses the next one.
    pub fn capacity(&self) -> usize {
        self.models.iter().map(|model| model.control().places()).sum()
    }

    /// Why no job should be sent here, if there is a reason.
    pub fn unready(&self) -> Option<Unready> {
        let name = &self.default_model;
        let Some(default_model) = self.find(name) else {
            return Some(Unready { reason: format!("there is no model {name}"), detail: None });
        };
        if let LoadState::Failed(detail) | LoadState::AwaitedAgain(detail) =
            default_model.status().load
        {
            let reason = format!("the model {name} cannot be loaded");
            return Some(Unready { reason, detail: Some(detail) });
        }
        let awaited = self.models.iter().find(|m| m.status().load == LoadState::Awaited)?;
        let reason = format!("the model {} is being loaded", awaited.manifest.name);
        Some(Unready { reason, detail: None })
    }
}

/// Why no job should be sent to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unready {
    /// For anybody.
    pub reason: String,
    /// May name files and hosts: for those who may call the node.
    pub detail: Option<String>,
}
