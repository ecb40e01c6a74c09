//! What accepting and running jobs needs of the outside, and the two settings that steer it.

use crate::{
    ports::{
        delivery::Queues,
        fleet::{Fleet, NodeClient},
        gates::{Account, JobRoom},
        stores::JobStore,
        system::Clock,
    },
    state::AppState,
};

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
    /// The image model that draws scenes.
    pub scene_model: &'a str,
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
            scene_model: &state.config.scene_model,
            lease_s: state.config.lease_s,
        }
    }
}
