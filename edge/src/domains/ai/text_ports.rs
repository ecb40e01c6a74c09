//! What the AI service needs of the outside.

use crate::{
    ports::{
        fleet::Fleet,
        gates::Account,
        stores::JobStore,
        system::Clock,
        text::{TextNodes, TextStore},
    },
    state::AppState,
};

/// The ports of a run; cheap to copy.
#[derive(Clone, Copy)]
pub struct TextPorts<'a> {
    pub clock: &'a dyn Clock,
    pub fleet: &'a dyn Fleet,
    pub text_nodes: &'a dyn TextNodes,
    pub texts: &'a dyn TextStore,
    pub account: &'a dyn Account,
    /// For the ledger.
    pub jobs: &'a dyn JobStore,
}

impl<'a> From<&'a AppState> for TextPorts<'a> {
    fn from(state: &'a AppState) -> Self {
        Self {
            clock: state.clock.as_ref(),
            fleet: state.fleet.as_ref(),
            text_nodes: state.text_nodes.as_ref(),
            texts: state.texts.as_ref(),
            account: state.account.as_ref(),
            jobs: state.jobs.as_ref(),
        }
    }
}
