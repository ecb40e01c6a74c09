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

/// A call to the fleet's object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum FleetCall {
    Register { node: RegisterNode },
    Heartbeat { node_id: String, heartbeat: Heartbeat },
    Leave { node_id: String },
    Pick { model: String, not_these: Vec<String> },
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
            running: 0,
            queued: 0,
            last_seen_ms: now_ms,
            failures: 0,
            open_until_ms: None,
            picks_ms: Vec::new(),
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
        let hidden = self.static_doubles();
        let picked = self
            .members
            .values_mut()
            .filter(|member| {
                member.has_model(model)
                    && member.is_healthy(now_ms)
                    && !not_these.contains(&member.node_id)
                    && !hidden.contains(&member.node_id)
            })
            .min_by(|a, b| a.compare_load(b, now_ms))?;
        picked.picks_ms.retain(|at_ms| now_ms.saturating_sub(*at_ms) < PICK_COUNTS_FOR_MS);
        picked.picks_ms.push(now_ms);
        if picked.open_until_ms.is_some() {
            // Half open: this pick is the probe, and nobody else gets the node while it runs.
            picked.open_until_ms = Some(now_ms.saturating_add(OPEN_FOR_MS));
        }
        Some(NodeRef { node_id: picked.node_id.clone(), url: picked.url.clone() })
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
mod tests {
    use super::*;

    fn order(id: &str, capacity: u32) -> RegisterNode {
        RegisterNode {
            node_id: id.to_owned(),
            url: format!("http://{id}:8000/"),
            models: vec!["small".to_owned()],
            capacity,
            version: "1".to_owned(),
        }
    }

    fn fleet(ids: &[&str]) -> FleetGate {
        let mut fleet = FleetGate::default();
        for id in ids {
            fleet.register(order(id, 1), 0);
        }
        fleet
    }

    fn load(running: u32, queued: u32) -> Heartbeat {
        Heartbeat { running, queued, is_draining: false }
    }

    fn pick(fleet: &mut FleetGate, now_ms: u64) -> Option<String> {
        fleet.pick("small", &[], now_ms).map(|node| node.node_id)
    }

    #[test]
    fn picks_the_least_loaded_by_capacity() {
        let mut fleet = fleet(&["a"]);
        fleet.register(order("b", 4), 0);
        fleet.heartbeat("a", &load(1, 0), 1);
        fleet.heartbeat("b", &load(2, 1), 1);
        assert_eq!(pick(&mut fleet, 2).as_deref(), Some("b"));
    }

    #[test]
    fn counts_its_own_picks_until_the_next_heartbeat() {
        let mut fleet = fleet(&["a", "b"]);
        assert_eq!(pick(&mut fleet, 1).as_deref(), Some("a"));
        assert_eq!(pick(&mut fleet, 2).as_deref(), Some("b"));
        fleet.heartbeat("b", &load(0, 0), 3);
        assert_eq!(pick(&mut fleet, 4).as_deref(), Some("b"));
    }

    #[test]
    fn gives_no_work_to_who_lacks_the_model_or_is_excluded_or_drains() {
        let mut fleet = fleet(&["a", "b"]);
        assert_eq!(fleet.pick("large", &[], 1), None);
        assert_eq!(fleet.pick("small", &["a".to_owned(), "b".to_owned()], 1), None);
        fleet.heartbeat("a", &Heartbeat { running: 0, queued: 0, is_draining: true }, 1);
        fleet.heartbeat("b", &Heartbeat { running: 0, queued: 0, is_draining: true }, 1);
        assert!(!fleet.has_model("small", 1));
        assert_eq!(pick(&mut fleet, 1), None);
    }

    #[test]
    fn three_missed_heartbeats_end_the_work_and_a_new_one_brings_it_back() {
        let mut fleet = fleet(&["a"]);
        assert!(pick(&mut fleet, SILENT_AFTER_MS).is_some());
        assert_eq!(pick(&mut fleet, SILENT_AFTER_MS + 1), None);
        assert!(!fleet.list(SILENT_AFTER_MS + 1).first().unwrap().is_healthy);
        assert!(fleet.heartbeat("a", &load(0, 0), SILENT_AFTER_MS + 2));
        assert!(pick(&mut fleet, SILENT_AFTER_MS + 3).is_some());
    }

    #[test]
    fn an_unknown_node_must_register_again() {
        let mut fleet = fleet(&["a"]);
        assert!(!fleet.heartbeat("b", &load(0, 0), 1));
        assert_eq!(fleet.forget_silent(FORGOTTEN_AFTER_MS + 1), ["a"]);
        assert!(!fleet.heartbeat("a", &load(0, 0), FORGOTTEN_AFTER_MS + 2));
    }

    #[test]
    fn three_failures_in_a_row_open_the_circuit() {
        let mut fleet = fleet(&["a"]);
        fleet.report("a", false, 1);
        fleet.report("a", false, 1);
        fleet.report("a", true, 1);
        fleet.report("a", false, 1);
        fleet.report("a", false, 1);
        assert!(fleet.has_model("small", 1));
        assert!(fleet.report("a", false, 1));
        assert!(!fleet.has_model("small", 1));
        assert_eq!(pick(&mut fleet, OPEN_FOR_MS), None);
    }

    #[test]
    fn a_half_open_circuit_lets_one_probe_through() {
        let mut fleet = fleet(&["a"]);
        for _ in 0..3 {
            fleet.report("a", false, 0);
        }
        fleet.heartbeat("a", &load(0, 0), OPEN_FOR_MS);
        assert!(pick(&mut fleet, OPEN_FOR_MS).is_some());
        assert_eq!(pick(&mut fleet, OPEN_FOR_MS + 1), None);
        fleet.report("a", true, OPEN_FOR_MS + 2);
        assert!(pick(&mut fleet, OPEN_FOR_MS + 3).is_some());
    }

    #[test]
    fn a_failed_probe_opens_the_circuit_again() {
        let mut fleet = fleet(&["a"]);
        for _ in 0..3 {
            fleet.report("a", false, 0);
        }
        fleet.heartbeat("a", &load(0, 0), OPEN_FOR_MS);
        pick(&mut fleet, OPEN_FOR_MS).unwrap();
        fleet.report("a", false, OPEN_FOR_MS + 10);
        assert_eq!(pick(&mut fleet, 2 * OPEN_FOR_MS + 9), None);
        fleet.heartbeat("a", &load(0, 0), 2 * OPEN_FOR_MS);
        assert!(pick(&mut fleet, 2 * OPEN_FOR_MS + 10).is_some());
    }

    #[test]
    fn static_nodes_need_no_heartbeat_and_may_have_any_model() {
        let nodes = static_nodes(" http://a:8000/ , http://b:8000|small+large,");
        let mut fleet = FleetGate::new(vec![], nodes);
        assert_eq!(fleet.list(0).len(), 2);
        let first = fleet.pick("medium", &[], 1_000_000).unwrap();
        assert_eq!(first.url, "http://a:8000");
        assert!(fleet.has_model("large", 1_000_000));
        assert!(!fleet.heartbeat("static:http://a:8000", &load(0, 0), 1));
    }

    #[test]
    fn a_static_node_that_registers_is_one_node() {
        let mut fleet = FleetGate::new(vec![], static_nodes("http://a:8000"));
        fleet.register(order("a", 1), 0);
        for now_ms in 1..4 {
            assert_eq!(pick(&mut fleet, now_ms).as_deref(), Some("a"));
        }
    }

    #[test]
    fn a_burst_spreads_over_static_nodes() {
        let mut fleet = FleetGate::new(vec![], static_nodes("http://a:1,http://b:1,http://c:1"));
        let picked: Vec<_> = (1..=6).filter_map(|now_ms| pick(&mut fleet, now_ms)).collect();
        for node in ["static:http://a:1", "static:http://b:1", "static:http://c:1"] {
            assert_eq!(picked.iter().filter(|id| *id == node).count(), 2);
        }
    }

    #[test]
    fn what_is_stored_comes_back_without_static_nodes() {
        let fleet = fleet(&["a"]);
        let stored = serde_json::to_string(fleet.stored_form("a").unwrap()).unwrap();
        let again = FleetGate::new(vec![serde_json::from_str(&stored).unwrap()], vec![]);
        assert_eq!(again, fleet);
        let fleet = FleetGate::new(vec![], static_nodes("http://a:1"));
        assert_eq!(fleet.stored_form("static:http://a:1"), None);
    }
}
