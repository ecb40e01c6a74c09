//! The fleet, kept by its one Durable Object (`durable/fleet_do.rs`).

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use shared::api::fleet::{Heartbeat, RegisterNode};
use worker::{Env, send::SendFuture};

use super::stub::Object;
use crate::{
    error::Result,
    gates::fleet::FleetCall,
    ports::fleet::{Fleet, NodeRef, NodeState},
};

const TIMEOUT_MS: u32 = 5_000;

/// The object of class `FleetDo`.
pub struct DurableFleet {
    pub env: Env,
}

impl DurableFleet {
    async fn call<T: DeserializeOwned>(&self, call: FleetCall) -> Result<T> {
        let object = Object { env: &self.env, binding: "FLEET", what: "fleet", name: "fleet" };
        SendFuture::new(object.call(&call, TIMEOUT_MS)).await
    }
}

#[async_trait]
impl Fleet for DurableFleet {
    async fn register(&self, node: RegisterNode) -> Result<()> {
        self.call(FleetCall::Register { node }).await
    }

    async fn heartbeat(&self, node_id: &str, heartbeat: Heartbeat) -> Result<bool> {
        self.call(FleetCall::Heartbeat { node_id: node_id.to_owned(), heartbeat }).await
    }

    async fn leave(&self, node_id: &str) -> Result<()> {
        self.call(FleetCall::Leave { node_id: node_id.to_owned() }).await
    }

    async fn pick(&self, model: &str, not_these: &[String]) -> Result<Option<NodeRef>> {
        let call = FleetCall::Pick { model: model.to_owned(), not_these: not_these.to_vec() };
        self.call(call).await
    }

    async fn pick_text(&self, model: &str, not_these: &[String]) -> Result<Option<NodeRef>> {
        let call = FleetCall::PickText { model: model.to_owned(), not_these: not_these.to_vec() };
        self.call(call).await
    }

    async fn end_text(&self, node_id: &str, is_ok: Option<bool>) -> Result<()> {
        self.call(FleetCall::EndText { node_id: node_id.to_owned(), is_ok }).await
    }

    async fn has_model(&self, model: &str) -> Result<bool> {
        self.call(FleetCall::HasModel { model: model.to_owned() }).await
    }

    async fn report(&self, node_id: &str, is_ok: bool) -> Result<()> {
        self.call(FleetCall::Report { node_id: node_id.to_owned(), is_ok }).await
    }

    async fn list(&self) -> Result<Vec<NodeState>> {
        self.call(FleetCall::List).await
    }
}
