//! One node of the fleet: whether it may be asked, and how loaded it is.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{PICK_COUNTS_FOR_MS, SILENT_AFTER_MS, TEXT_COUNTS_FOR_MS};
use crate::ports::fleet::{NodeRef, NodeState};

/// One node, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub node_id: String,
    pub(super) url: String,
    /// `None` for a static node whose models nobody named: it is asked for any.
    pub(super) models: Option<Vec<String>>,
    pub(super) capacity: u32,
    pub(super) is_static: bool,
    pub(super) is_draining: bool,
    /// Its default model failed to load, or is being loaded.
    #[serde(default)]
    pub(super) is_unready: bool,
    pub(super) running: u32,
    pub(super) queued: u32,
    pub(super) last_seen_ms: u64,
    pub(super) failures: u32,
    pub(super) open_until_ms: Option<u64>,
    /// Our picks that its last heartbeat can't know of.
    #[serde(skip)]
    pub(super) picks_ms: Vec<u64>,
    /// When the texts began that it writes.
    #[serde(skip)]
    pub(super) texts_ms: Vec<u64>,
}

impl Member {
    pub(super) fn has_model(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|name| name == model))
    }

    pub(super) fn is_healthy(&self, now_ms: u64) -> bool {
        let is_heard =
            self.is_static || now_ms.saturating_sub(self.last_seen_ms) <= SILENT_AFTER_MS;
        let is_closed = self.open_until_ms.is_none_or(|until_ms| until_ms <= now_ms);
        is_heard && is_closed && !self.is_draining && !self.is_unready
    }

    pub(super) fn load(&self, now_ms: u64) -> u64 {
        let is_recent = |at_ms: &&u64| now_ms.saturating_sub(**at_ms) < PICK_COUNTS_FOR_MS;
        let picks = self.picks_ms.iter().filter(is_recent).count() as u64;
        u64::from(self.running).saturating_add(u64::from(self.queued)).saturating_add(picks)
    }

    /// By load per capacity, without division; the one picked longest ago first when equal.
    pub(super) fn compare_load(&self, other: &Self, now_ms: u64) -> Ordering {
        let ours = self.load(now_ms).saturating_mul(u64::from(other.capacity));
        let theirs = other.load(now_ms).saturating_mul(u64::from(self.capacity));
        ours.cmp(&theirs).then_with(|| self.picks_ms.last().cmp(&other.picks_ms.last()))
    }

    fn texts(&self, now_ms: u64) -> usize {
        let is_recent = |at_ms: &&u64| now_ms.saturating_sub(**at_ms) < TEXT_COUNTS_FOR_MS;
        self.texts_ms.iter().filter(is_recent).count()
    }

    /// By the number of texts, and by jobs when equal.
    pub(super) fn compare_texts(&self, other: &Self, now_ms: u64) -> Ordering {
        let (ours, theirs) = (self.texts(now_ms), other.texts(now_ms));
        ours.cmp(&theirs).then_with(|| self.compare_load(other, now_ms))
    }

    pub(super) fn to_ref(&self) -> NodeRef {
        NodeRef { node_id: self.node_id.clone(), url: self.url.clone() }
    }

    pub(super) fn state(&self, now_ms: u64) -> NodeState {
        NodeState {
            node_id: self.node_id.clone(),
            url: self.url.clone(),
            models: self.models.clone().unwrap_or_default(),
            running: self.running,
            queued: self.queued,
            texts: u32::try_from(self.texts(now_ms)).unwrap_or(u32::MAX),
            capacity: self.capacity,
            is_healthy: self.is_healthy(now_ms),
            last_seen_ms: self.last_seen_ms,
        }
    }
}

/// The nodes of a configuration such as `http://a:8000|small+large,http://b:8000`: separated by commas, each with
/// the names of its models, or without, when it may be asked for any.
pub fn static_nodes(list: &str) -> Vec<Member> {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let (url, models) = match entry.split_once('|') {
                Some((url, names)) => (url, Some(names.split('+').map(|n| n.trim().to_owned()))),
                None => (entry, None),
            };
            Member {
                node_id: format!("static:{}", trimmed(url)),
                url: trimmed(url),
                models: models.map(Iterator::collect),
                capacity: 1,
                is_static: true,
                is_draining: false,
                is_unready: false,
                running: 0,
                queued: 0,
                last_seen_ms: 0,
                failures: 0,
                open_until_ms: None,
                picks_ms: Vec::new(),
                texts_ms: Vec::new(),
            }
        })
        .collect()
}

/// A base URL without its last slash.
pub(super) fn trimmed(url: &str) -> String {
    url.trim().trim_end_matches('/').to_owned()
}
