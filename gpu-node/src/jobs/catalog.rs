//! The models this node serves, each with its lane.

use std::{io, sync::Arc};

use crate::{
    engines::image::{ENGINE_VERSION, ImageEngine},
    registry::Manifest,
    scheduler::{Lane, LaneSettings, LoadEngine, LoadState, MemoryBudget, Metrics},
};

/// A model and the lane that runs it.
pub struct ServedModel {
    pub manifest: Manifest,
    pub engine_version: &'static str,
    pub lane: Lane<ImageEngine>,
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
    /// Starts the model's lane; the weights stay on the disk until they are needed.
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
        Ok(Self { manifest, engine_version: ENGINE_VERSION, lane })
    }
}

/// All models of a node, and which of them it must be able to run to be of use.
pub struct Catalog {
    models: Vec<ServedModel>,
    default_model: String,
    /// `cuda` or `cpu`.
    pub device: &'static str,
}

impl Catalog {
    /// The default model need not be among them; the node is then never ready.
    pub fn new(models: Vec<ServedModel>, default_model: String, device: &'static str) -> Self {
        Self { models, default_model, device }
    }

    /// Every model, in the order of the models folder.
    pub fn models(&self) -> &[ServedModel] {
        &self.models
    }

    /// The model of that name.
    pub fn find(&self, name: &str) -> Option<&ServedModel> {
        self.models.iter().find(|model| model.manifest.name == name)
    }

    /// Jobs the node takes before it refuses the next one.
    pub fn capacity(&self) -> usize {
        self.models.iter().map(|model| model.lane.capacity() + 1).sum()
    }

    /// Why no job should be sent here, if there is a reason.
    pub fn unready_reason(&self) -> Option<String> {
        let Some(default_model) = self.find(&self.default_model) else {
            return Some(format!("there is no model {}", self.default_model));
        };
        if let LoadState::Failed(detail) = default_model.lane.status().load {
            return Some(format!("the model {} cannot be loaded: {detail}", self.default_model));
        }
        let awaited = self.models.iter().find(|m| m.lane.status().load == LoadState::Awaited)?;
        Some(format!("the model {} is being loaded", awaited.manifest.name))
    }
}
