//! What accepting and running jobs needs of the outside, and the settings that steer it.

use shared::api::jobs::JobKind;

use crate::{
    config::ImageSteps,
    ports::{
        delivery::Queues,
        files::Files,
        fleet::{Fleet, NodeClient},
        gates::{Account, JobRoom},
        stores::JobStore,
        system::Clock,
    },
    state::AppState,
};

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// The ports of the job services; cheap to copy.
#[derive(Clone, Copy)]
pub struct JobPorts<'a> {
    pub clock: &'a dyn Clock,
    pub jobs: &'a dyn JobStore,
    pub account: &'a dyn Account,
    pub job_room: &'a dyn JobRoom,
    pub fleet: &'a dyn Fleet,
    pub node_client: &'a dyn NodeClient,
    pub queues: &'a dyn Queues,
    pub files: &'a dyn Files,
    /// The image model that draws scenes.
    pub scene_model: &'a str,
    /// The image model that draws what Sorami's people ask for.
    pub image_model: &'a str,
    pub image_steps: ImageSteps,
    /// How long the addresses of generated files work.
    pub image_url_lifetime_s: u64,
    /// How long a run counts as alive after it was last heard of.
    pub lease_s: u32,
}

impl<'a> From<&'a AppState> for JobPorts<'a> {
    fn from(state: &'a AppState) -> Self {
        Self {
            clock: state.clock.as_ref(),
            jobs: state.jobs.as_ref(),
            account: state.account.as_ref(),
            job_room: state.job_room.as_ref(),
            fleet: state.fleet.as_ref(),
            node_client: state.node_client.as_ref(),
            queues: state.queues.as_ref(),
            files: state.files.as_ref(),
            scene_model: &state.config.scene_model,
            image_model: &state.config.image_model,
            image_steps: state.config.image_steps,
            image_url_lifetime_s: u64::from(state.config.image_url_days) * SECONDS_PER_DAY,
            lease_s: state.config.lease_s,
        }
    }
}

impl<'a> JobPorts<'a> {
    /// The model that makes jobs of a kind.
    pub fn model_of(&self, kind: JobKind) -> &'a str {
        match kind {
            JobKind::Scene => self.scene_model,
            JobKind::Image => self.image_model,
        }
    }
}
