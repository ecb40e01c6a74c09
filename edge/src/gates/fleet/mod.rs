//! Which nodes there are, how loaded they are, and which not to ask for a while.
//!
//! Load between two heartbeats is estimated from our own picks, so that a burst spreads over the fleet.

mod member;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::api::fleet::{Heartbeat, RegisterNode};

pub use member::{Member, static_nodes};

use crate::ports::fleet::{NodeRef, NodeState};

/// How often a node says that it lives.
pub const HEARTBEAT_INTERVAL_MS: u64 = 10_000;

/// Three missed heartbeats, with some slack for the last one's way.
const SILENT_AFTER_MS: u64 = 3 * HEARTBEAT_INTERVAL_MS + 2_000;

/// A node silent for so long is forgotten; if it comes back, it registers again.
const FORGOTTEN_AFTER_MS: u64 = 10 * 60 * 1000;

/// Failures in a row that open a node's circuit.
const FAILURES_MAX: u32 = 3;

/// How long an open circuit keeps work away, and how long its one probe may take.
const OPEN_FOR_MS: u64 = 30_000;

/// Picks older than this say nothing about a static node's load, which sends no heartbeats.
const PICK_COUNTS_FOR_MS: u64 = 30_000;

/// A text that has not ended by now never said so: the room that had it written is gone.
const TEXT_COUNTS_FOR_MS: u64 = 6 * 60 * 1000;

/// A call to the fleet's object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum FleetCall {
    Register { node: RegisterNode },
    Heartbeat { node_id: String, heartbeat: Heartbeat },
    Leave { node_id: String },
    Pick { model: String, not_these: Vec<String> },
    PickText { model: String, not_these: Vec<String> },
    EndText { node_id: String, is_ok: Option<bool> },
    HasModel { model: String },
    Report { node_id: String, is_ok: bool },
    List,
}

/// Every node by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetGate {
    members: BTreeMap<String, Member>,
}

impl FleetGate {
    /// The fleet as it was stored, and the nodes that configuration names.
    pub fn new(stored: Vec<Member>, static_nodes: Vec<Member>) -> Self {
        let members = stored.into_iter().chain(static_nodes);
        Self { members: members.map(|member| (member.node_id.clone(), member)).collect() }
    }

    /// The node as it is now, to be stored; `None` when it is gone or need not be stored.
    pub fn stored_form(&self, node_id: &str) -> Option<&Member> {
        self.members.get(node_id).filter(|member| !member.is_static)
    }

    /// Takes a node in, or its new address and models.
    pub fn register(&mut self, node: RegisterNode, now_ms: u64) {
        let member = Member {
            node_id: node.node_id.clone(),
            url: member::trimmed(&node.url),
            models: Some(node.models),
            capacity: node.capacity.max(1),
            is_static: false,
            is_draining: false,
            is_unready: false,
            running: 0,
            queued: 0,
            last_seen_ms: now_ms,
            failures: 0,
            open_until_ms: None,
            picks_ms: Vec::new(),
            texts_ms: Vec::new(),
        };
        self.members.insert(node.node_id, member);
    }

    /// Takes a node's load; `false` when it isn't known.
    pub fn heartbeat(&mut self, node_id: &str, heartbeat: &Heartbeat, now_ms: u64) -> bool {
        let Some(member) = self.members.get_mut(node_id).filter(|member| !member.is_static) else {
            return false;
        };
        member.running = heartbeat.running;
        member.queued = heartbeat.queued;
        member.is_draining = heartbeat.is_draining;
        member.is_unready = !heartbeat.is_ready;
        member.last_seen_ms = now_ms;
        member.picks_ms.clear();
        true
    }

    /// Lets a node go.
    pub fn leave(&mut self, node_id: &str) {
        self.members.retain(|id, member| member.is_static || id != node_id);
    }

    /// Names of the nodes that were silent for so long that they are forgotten now.
    pub fn forget_silent(&mut self, now_ms: u64) -> Vec<String> {
        let is_forgotten = |member: &Member| {
            !member.is_static && now_ms.saturating_sub(member.last_seen_ms) > FORGOTTEN_AFTER_MS
        };
        let forgotten: Vec<String> =
            self.members.values().filter(|m| is_forgotten(m)).map(|m| m.node_id.clone()).collect();
        self.members.retain(|_, member| !is_forgotten(member));
        forgotten
    }

    /// The healthy, least loaded node that has the model and isn't in `not_these`.
    pub fn pick(&mut self, model: &str, not_these: &[String], now_ms: u64) -> Option<NodeRef> {
        let compare = |a: &Member, b: &Member| a.compare_load(b, now_ms);
        let picked = self.choose(model, not_these, now_ms, compare)?;
        picked.picks_ms.retain(|at_ms| now_ms.saturating_sub(*at_ms) < PICK_COUNTS_FOR_MS);
        picked.picks_ms.push(now_ms);
        Some(picked.to_ref())
    }

    /// The same for a text. A node writes many at once, so they are counted by themselves and take no place of a job;
    /// jobs only decide between nodes that write equally many.
    pub fn pick_text(&mut self, model: &str, not_these: &[String], now_ms: u64) -> Option<NodeRef> {
        let compare = |a: &Member, b: &Member| a.compare_texts(b, now_ms);
        let picked = self.choose(model, not_these, now_ms, compare)?;
        picked.texts_ms.retain(|at_ms| now_ms.saturating_sub(*at_ms) < TEXT_COUNTS_FOR_MS);
        picked.texts_ms.push(now_ms);
        Some(picked.to_ref())
    }

    /// Ends a text; `true` when something changed that should be stored.
    pub fn end_text(&mut self, node_id: &str, is_ok: Option<bool>, now_ms: u64) -> bool {
        if let Some(member) = self.members.get_mut(node_id)
            && !member.texts_ms.is_empty()
        {
            // Which one it was makes no difference to their number.
            member.texts_ms.remove(0);
        }
        is_ok.is_some_and(|is_ok| self.report(node_id, is_ok, now_ms))
    }

    fn choose(
        &mut self,
        model: &str,
        not_these: &[String],
        now_ms: u64,
        compare: impl Fn(&Member, &Member) -> std::cmp::Ordering,
    ) -> Option<&mut Member> {
        let hidden = self.static_doubles();
        let chosen = self
            .members
            .values_mut()
            .filter(|member| {
                member.has_model(model)
                    && member.is_healthy(now_ms)
                    && !not_these.contains(&member.node_id)
                    && !hidden.contains(&member.node_id)
            })
            .min_by(|a, b| compare(a, b))?;
        if chosen.open_until_ms.is_some() {
            // Half open: this pick is the probe, and nobody else gets the node while it runs.
            chosen.open_until_ms = Some(now_ms.saturating_add(OPEN_FOR_MS));
        }
        Some(chosen)
    }

    /// Whether any healthy node has the model.
    pub fn has_model(&self, model: &str, now_ms: u64) -> bool {
        self.members.values().any(|member| member.has_model(model) && member.is_healthy(now_ms))
    }

    /// Feeds the circuit breaker; `true` when something changed that should be stored.
    pub fn report(&mut self, node_id: &str, is_ok: bool, now_ms: u64) -> bool {
        let Some(member) = self.members.get_mut(node_id) else { return false };
        let before = (member.failures, member.open_until_ms);
        if is_ok {
            member.failures = 0;
            member.open_until_ms = None;
        } else {
            member.failures = member.failures.saturating_add(1);
            if member.failures >= FAILURES_MAX {
                member.open_until_ms = Some(now_ms.saturating_add(OPEN_FOR_MS));
            }
        }
        before != (member.failures, member.open_until_ms)
    }

    /// Every node, for operators.
    pub fn list(&self, now_ms: u64) -> Vec<NodeState> {
        self.members.values().map(|member| member.state(now_ms)).collect()
    }

    /// Static nodes that also registered by themselves, under another name.
    fn static_doubles(&self) -> Vec<String> {
        let registered: Vec<&str> =
            self.members.values().filter(|m| !m.is_static).map(|m| m.url.as_str()).collect();
        self.members
            .values()
            .filter(|member| member.is_static && registered.contains(&member.url.as_str()))
            .map(|member| member.node_id.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests;
