//! The fleet of nodes, in one object.
//!
//! Atomic because an object runs one request at a time between two waits, and choosing a node and counting the choice
//! have none between them: two jobs can't both take a node's last free place unknowingly.

use std::cell::RefCell;

use worker::{
    DurableObject, Env, Request, Response, Result, SqlStorage, SqlStorageValue, State,
    console_error, durable_object, wasm_bindgen,
};

use super::{answer, open, order, texts};
use crate::{
    adapters::clock::now_ms,
    gates::fleet::{FleetCall, FleetGate, Member, static_nodes},
};

const TABLE: &str =
    "create table if not exists nodes (node_id text primary key, member text not null)";

/// Keeps the fleet in memory; what a restart must not forget is in its table.
#[durable_object(fetch)]
pub struct FleetDo {
    sql: SqlStorage,
    fleet: RefCell<FleetGate>,
}

impl DurableObject for FleetDo {
    fn new(state: State, env: Env) -> Self {
        let sql = open(&state, TABLE);
        let stored = read_members(&sql).unwrap_or_else(|error| {
            console_error!("reading the fleet: {error}");
            Vec::new()
        });
        let configured = env.var("NODES").map(|nodes| nodes.to_string()).unwrap_or_default();
        Self { sql, fleet: RefCell::new(FleetGate::new(stored, static_nodes(&configured))) }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let order = order(request).await?;
        let now_ms = now_ms();
        let mut fleet = self.fleet.try_borrow_mut().map_err(|e| e.to_string())?;
        for node_id in fleet.forget_silent(now_ms) {
            self.remove(&node_id)?;
        }
        match order {
            FleetCall::Register { node } => {
                let node_id = node.node_id.clone();
                fleet.register(node, now_ms);
                answer(&self.keep(&fleet, &node_id)?)
            }
            FleetCall::Heartbeat { node_id, heartbeat } => {
                let is_known = fleet.heartbeat(&node_id, &heartbeat, now_ms);
                self.keep(&fleet, &node_id)?;
                answer(&is_known)
            }
            FleetCall::Leave { node_id } => {
                fleet.leave(&node_id);
                answer(&self.remove(&node_id)?)
            }
            FleetCall::Pick { model, not_these } => answer(&fleet.pick(&model, &not_these, now_ms)),
            FleetCall::PickText { model, not_these } => {
                answer(&fleet.pick_text(&model, &not_these, now_ms))
            }
            FleetCall::EndText { node_id, is_ok } => {
                if fleet.end_text(&node_id, is_ok, now_ms) {
                    self.keep(&fleet, &node_id)?;
                }
                answer(&())
            }
            FleetCall::HasModel { model } => answer(&fleet.has_model(&model, now_ms)),
            FleetCall::Report { node_id, is_ok } => {
                if fleet.report(&node_id, is_ok, now_ms) {
                    self.keep(&fleet, &node_id)?;
                }
                answer(&())
            }
            FleetCall::List => answer(&fleet.list(now_ms)),
        }
    }
}

impl FleetDo {
    fn keep(&self, fleet: &FleetGate, node_id: &str) -> Result<()> {
        if let Some(member) = fleet.stored_form(node_id) {
            let values: Vec<SqlStorageValue> =
                vec![node_id.into(), serde_json::to_string(member)?.into()];
            self.sql.exec("insert or replace into nodes values (?, ?)", values)?;
        }
        Ok(())
    }

    fn remove(&self, node_id: &str) -> Result<()> {
        self.sql.exec("delete from nodes where node_id = ?", vec![node_id.into()])?;
        Ok(())
    }
}

fn read_members(sql: &SqlStorage) -> Result<Vec<Member>> {
    let rows = texts(sql, "select member from nodes", vec![])?;
    rows.iter().map(|member| Ok(serde_json::from_str(member)?)).collect()
}
