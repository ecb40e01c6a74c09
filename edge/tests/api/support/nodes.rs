//! Nodes in memory: runs take time, streams break, nodes die and come back having forgotten everything.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use edge::{
    error::Result,
    ports::{
        fleet::{Fleet, NodeClient, NodeEvents, NodeFailure, NodeRef, NodeState, StoreFailure},
        system::Clock,
    },
};
use shared::{
    api::fleet::{Heartbeat, RegisterNode},
    ids::JobId,
    node::jobs::{Artifact, CreateNodeJob, NodeEvent, NodeJob, NodeJobStatus},
};

use super::{
    artifacts::artifacts_of,
    clock::FakeClock,
    database::FakeDatabase,
    faults::{Fault, Faults, Part},
};

const STEPS: u32 = 12;

/// How a node behaves.
#[derive(Clone)]
pub struct Behaviour {
    pub steps: u32,
    pub step_ms: u64,
    /// Milliseconds since the start of the test in which it can't be reached; it forgets its runs.
    pub is_down: Range<u64>,
    /// The same, for a full lane.
    pub is_full: Range<u64>,
    /// The next streams break off after this many events each.
    pub cuts: Vec<usize>,
    /// The next runs end so, instead of completing: code, and whether trying again may help.
    pub failures: Vec<(&'static str, bool)>,
    pub refuses: bool,
    pub takes_no_input: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            steps: STEPS,
            step_ms: 400,
            is_down: 0..0,
            is_full: 0..0,
            cuts: Vec::new(),
            failures: Vec::new(),
            refuses: false,
            takes_no_input: false,
        }
    }
}

struct Run {
    order: CreateNodeJob,
    opened_ms: u64,
    failure: Option<(&'static str, bool)>,
}

#[derive(Default)]
struct Node {
    models: Vec<String>,
    behaviour: Behaviour,
    runs: HashMap<JobId, Run>,
    orders: Vec<CreateNodeJob>,
    stopped: Vec<JobId>,
    reports: Vec<bool>,
    texts: u32,
}

/// The fleet and the way to talk to it.
#[derive(Clone)]
pub struct FakeNodes {
    clock: FakeClock,
    faults: Faults,
    database: FakeDatabase,
    nodes: Arc<Mutex<Vec<(String, Node)>>>,
}

impl FakeNodes {
    pub fn new(clock: FakeClock, faults: Faults, database: FakeDatabase) -> Self {
        Self { clock, faults, database, nodes: Arc::default() }
    }

    /// A node joins; those that joined first are picked first.
    pub fn add(&self, node_id: &str, model: &str, behaviour: Behaviour) {
        let node = Node { models: vec![model.to_owned()], behaviour, ..Node::default() };
        self.lock().push((node_id.to_owned(), node));
    }

    /// All runs a node began, repeats included.
    pub fn orders(&self, node_id: &str) -> Vec<CreateNodeJob> {
        self.seen(node_id, |node| node.orders.clone())
    }

    /// The runs it was told to stop.
    pub fn stopped(&self, node_id: &str) -> Vec<JobId> {
        self.seen(node_id, |node| node.stopped.clone())
    }

    /// What the fleet was told of it.
    pub fn reports(&self, node_id: &str) -> Vec<bool> {
        self.seen(node_id, |node| node.reports.clone())
    }

    fn seen<T>(&self, node_id: &str, look: impl FnOnce(&Node) -> Vec<T>) -> Vec<T> {
        let nodes = self.lock();
        nodes.iter().find(|(id, _)| id == node_id).map_or_else(Vec::new, |(_, node)| look(node))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Node)>> {
        self.nodes.lock().unwrap()
    }

    /// The node, if it can be reached; what it forgot by being down is forgotten now.
    fn with<T>(
        &self,
        node_id: &str,
        act: impl FnOnce(&mut Node, u64) -> T,
    ) -> std::result::Result<T, NodeFailure> {
        let now_ms = self.clock.elapsed_ms();
        let mut nodes = self.lock();
        let found = nodes.iter_mut().find(|(id, _)| id == node_id);
        let unreachable = || NodeFailure::Unreachable { cause: "connection refused".to_owned() };
        let (_, node) = found.ok_or_else(unreachable)?;
        let down = node.behaviour.is_down.clone();
        if down.contains(&now_ms) {
            return Err(unreachable());
        }
        node.runs.retain(|_, run| !(run.opened_ms < down.end && now_ms >= down.start));
        Ok(act(node, now_ms))
    }

    fn strike(&self, name: &'static str) -> std::result::Result<(), NodeFailure> {
        match self.faults.fault(Part::Node, name) {
            None => Ok(()),
            Some(_) => Err(NodeFailure::Unreachable { cause: "struck".to_owned() }),
        }
    }
}

impl Node {
    fn events(&self, id: JobId) -> Option<Vec<(u64, NodeEvent)>> {
        let run = self.runs.get(&id)?;
        let Behaviour { steps, step_ms, .. } = self.behaviour;
        let mut events = vec![
            (run.opened_ms, NodeEvent::Queued { position: 0, estimated_ms: None }),
            (run.opened_ms, NodeEvent::Started),
        ];
        for step in 1..=steps {
            let at_ms = run.opened_ms + u64::from(step) * step_ms;
            events.push((at_ms, NodeEvent::Progress { step, steps }));
        }
        let end = match run.failure {
            Some((code, is_retryable)) => {
                events.truncate(4);
                let detail = format!("{code} happened");
                NodeEvent::Failed { code: code.to_owned(), detail, is_retryable }
            }
            None => NodeEvent::Completed {
                artifacts: artifacts_of(&run.order),
                model: run.order.model.clone(),
                model_revision: "r1".to_owned(),
                engine_version: "e1".to_owned(),
                queued_ms: 0,
                run_ms: u64::from(steps) * step_ms,
            },
        };
        let ended_ms = events.last().map_or(0, |(at_ms, _)| *at_ms);
        events.push((ended_ms, end));
        Some(events)
    }
}

fn refused(detail: &str) -> NodeFailure {
    NodeFailure::Refused { code: "invalid_request".to_owned(), detail: detail.to_owned() }
}

#[async_trait]
impl Fleet for FakeNodes {
    async fn register(&self, node: RegisterNode) -> Result<()> {
        self.faults.pass(Part::Gate, "fleet.register", || {
            let model = node.models.first().cloned().unwrap_or_default();
            self.add(&node.node_id, &model, Behaviour::default());
            Ok(())
        })
    }

    async fn heartbeat(&self, node_id: &str, _: Heartbeat) -> Result<bool> {
        self.faults.pass(Part::Gate, "fleet.heartbeat", || {
            Ok(self.lock().iter().any(|(id, _)| id == node_id))
        })
    }

    async fn leave(&self, node_id: &str) -> Result<()> {
        self.faults.pass(Part::Gate, "fleet.leave", || {
            self.lock().retain(|(id, _)| id != node_id);
            Ok(())
        })
    }

    async fn pick(&self, model: &str, not_these: &[String]) -> Result<Option<NodeRef>> {
        self.faults.pass(Part::Gate, "fleet.pick", || {
            let nodes = self.lock();
            let found = nodes.iter().find(|(id, node)| {
                !not_these.contains(id) && node.models.iter().any(|name| name == model)
            });
            Ok(found.map(|(id, _)| NodeRef { node_id: id.clone(), url: format!("http://{id}") }))
        })
    }

    async fn pick_text(&self, model: &str, not_these: &[String]) -> Result<Option<NodeRef>> {
        let found = self.pick(model, not_these).await?;
        if let Some((_, node)) = self
            .lock()
            .iter_mut()
            .find(|(id, _)| found.as_ref().is_some_and(|found| found.node_id == *id))
        {
            node.texts += 1;
        }
        Ok(found)
    }

    async fn end_text(&self, node_id: &str, is_ok: Option<bool>) -> Result<()> {
        if let Some((_, node)) = self.lock().iter_mut().find(|(id, _)| id == node_id) {
            node.texts -= 1;
            node.reports.extend(is_ok);
        }
        Ok(())
    }

    async fn has_model(&self, model: &str) -> Result<bool> {
        self.faults.pass(Part::Gate, "fleet.has_model", || {
            Ok(self.lock().iter().any(|(_, node)| node.models.iter().any(|name| name == model)))
        })
    }

    async fn report(&self, node_id: &str, is_ok: bool) -> Result<()> {
        self.faults.pass(Part::Gate, "fleet.report", || {
            if let Some((_, node)) = self.lock().iter_mut().find(|(id, _)| id == node_id) {
                node.reports.push(is_ok);
            }
            Ok(())
        })
    }

    async fn list(&self) -> Result<Vec<NodeState>> {
        self.faults.pass(Part::Gate, "fleet.list", || {
            let nodes = self.lock();
            let state = |(id, node): &(String, Node)| NodeState {
                node_id: id.clone(),
                url: format!("http://{id}"),
                models: node.models.clone(),
                running: node.runs.len() as u32,
                queued: 0,
                texts: node.texts,
                capacity: 1,
                is_healthy: true,
                last_seen_ms: self.clock.now_ms(),
            };
            Ok(nodes.iter().map(state).collect())
        })
    }
}

#[async_trait]
impl NodeClient for FakeNodes {
    async fn open(
        &self,
        node: &NodeRef,
        job: &CreateNodeJob,
    ) -> std::result::Result<NodeJob, NodeFailure> {
        self.strike("node.open")?;
        self.with(&node.node_id, |node, now_ms| {
            if node.behaviour.refuses {
                return Err(refused("not a prompt"));
            }
            if node.behaviour.takes_no_input && !job.image.images.is_empty() {
                return Err(refused("takes no picture to start from"));
            }
            if !node.runs.contains_key(&job.id) {
                if node.behaviour.is_full.contains(&now_ms) {
                    return Err(NodeFailure::Full { retry_after_s: 7 });
                }
                let failure = (!node.behaviour.failures.is_empty())
                    .then(|| node.behaviour.failures.remove(0));
                let run = Run { order: job.clone(), opened_ms: now_ms, failure };
                node.runs.insert(job.id, run);
                node.orders.push(job.clone());
            }
            Ok(NodeJob {
                id: job.id,
                status: NodeJobStatus::Running,
                model: job.model.clone(),
                queue_position: 0,
                estimated_ms: None,
            })
        })?
    }

    async fn events(
        &self,
        node: &NodeRef,
        job: JobId,
    ) -> std::result::Result<Box<dyn NodeEvents>, NodeFailure> {
        self.strike("node.events")?;
        let opened = self.with(&node.node_id, |node, _| {
            let cuts = &mut node.behaviour.cuts;
            let cut_after = (!cuts.is_empty()).then(|| cuts.remove(0));
            node.runs.contains_key(&job).then_some(cut_after)
        })?;
        let cut_after = opened.ok_or(NodeFailure::Unknown)?;
        let (nodes, node_id) = (self.clone(), node.node_id.clone());
        Ok(Box::new(FakeEvents { nodes, node_id, job, seen: 0, cut_after }))
    }

    async fn cancel(&self, node: &NodeRef, job: JobId) -> std::result::Result<(), NodeFailure> {
        self.strike("node.cancel")?;
        self.with(&node.node_id, |node, _| {
            node.runs.remove(&job);
            node.stopped.push(job);
        })
    }

    async fn store_artifact(
        &self,
        node: &NodeRef,
        job: JobId,
        artifact: &Artifact,
        path: &str,
    ) -> std::result::Result<(), StoreFailure> {
        self.strike("node.artifact").map_err(StoreFailure::Node)?;
        let is_there = self.with(&node.node_id, |node, _| node.runs.contains_key(&job));
        if !is_there.map_err(StoreFailure::Node)? {
            return Err(StoreFailure::Node(NodeFailure::Unknown));
        }
        let fault = self.faults.fault(Part::Storage, "storage.put");
        if fault != Some(Fault::Before) {
            self.database.store_file(path, &artifact.sha256);
        }
        match fault {
            None => Ok(()),
            Some(_) => Err(StoreFailure::Storage { cause: "away".to_owned() }),
        }
    }
}

struct FakeEvents {
    nodes: FakeNodes,
    node_id: String,
    job: JobId,
    seen: usize,
    cut_after: Option<usize>,
}

#[async_trait]
impl NodeEvents for FakeEvents {
    async fn next(&mut self) -> std::result::Result<Option<NodeEvent>, NodeFailure> {
        if self.cut_after == Some(self.seen) {
            return Ok(None);
        }
        // A node that dies while we wait says nothing: look again every now and then.
        loop {
            let (job, seen) = (self.job, self.seen);
            let next = self.nodes.with(&self.node_id, |node, now_ms| {
                let (at_ms, event) = node.events(job)?.into_iter().nth(seen)?;
                Some((at_ms <= now_ms).then_some(event))
            })?;
            let reset = || NodeFailure::Unreachable { cause: "connection reset".to_owned() };
            if let Some(event) = next.ok_or_else(reset)? {
                self.seen += 1;
                return Ok(Some(event));
            }
            self.nodes.clock.sleep_ms(50).await;
        }
    }
}
