//! Everything behind the services, in memory: the parts, who signs in, and how messages go round until a job ends.

use edge::{
    caller::{AccessToken, Caller},
    config::{Environment, ImageSteps},
    domains::{
        jobs::{
            accept::{NewJob, accept_job},
            generation_consumer::consume,
            job_ports::JobPorts,
            reaper_cron::reap_jobs,
        },
        outbox::{
            deliver::{Next, OutboxPorts, deliver_outbox},
            webhook::Webhook,
        },
    },
    error::Result,
    ports::{
        delivery::{Consumed, GenerationMessage},
        system::Random,
    },
};
use serde_json::{Value, json};
use shared::{
    api::jobs::{Job, JobKind, JobStatus},
    ids::{JobId, UserId},
    signing::SigningSecret,
};

use super::{
    clock::FakeClock,
    database::FakeDatabase,
    discord::FakeDiscord,
    faults::Faults,
    gates::FakeGates,
    nodes::{Behaviour, FakeNodes},
    queues::FakeQueues,
    receiver::FakeReceiver,
    web::FakeWeb,
    writers::FakeWriters,
};

pub const MODEL: &str = "embedded-scene";
pub const TEXT_MODEL: &str = "embedded-text";
pub const LEASE_S: u32 = 30;
pub const GRACE_S: u32 = 60;
pub const WEBHOOK_SECRET: &str = "sorami-webhook-secret-key-2025";
pub const IMAGE_STEPS: ImageSteps = ImageSteps { low: Some(8), medium: None, high: Some(30) };

/// No chance at all: the same bytes each time.
pub struct FixedRandom;

impl Random for FixedRandom {
    fn bytes(&self) -> [u8; 16] {
        [0; 16]
    }
}

/// The parts of a test.
pub struct World {
    pub clock: FakeClock,
    pub faults: Faults,
    pub database: FakeDatabase,
    pub gates: FakeGates,
    pub nodes: FakeNodes,
    pub writers: FakeWriters,
    pub queues: FakeQueues,
    pub discord: FakeDiscord,
    pub receiver: FakeReceiver,
    pub signing: SigningSecret,
    pub web: FakeWeb,
    pub alice: Caller,
}

/// A person whose token is known.
pub fn caller(number: u8, role: Option<&str>) -> Caller {
    Caller {
        user_id: UserId::from_random([number; 16]),
        is_foreign: false,
        email: None,
        role: role.map(str::to_owned),
        token: AccessToken::new(format!("token-{number}")),
    }
}

/// A valid input.
pub fn scene_input() -> Value {
    json!({
        "world": "ice kingdom", "era": "medieval era", "class": "a red wizard",
        "pose": "on the left", "decor": "a tall castle",
    })
}

/// An order for a scene.
pub fn new_scene(number: u8, input: Value) -> NewJob {
    NewJob { id: job_id(number), kind: JobKind::Scene, pictures: 1, input, owner: None }
}

pub fn job_id(number: u8) -> JobId {
    JobId::from_random([number; 16])
}

impl World {
    /// A world without nodes.
    pub fn empty() -> Self {
        let clock = FakeClock::default();
        let faults = Faults::new(clock.clone());
        let database = FakeDatabase::new(clock.clone(), faults.clone());
        let alice = caller(200, None);
        database.sign_in(&alice);
        Self {
            gates: FakeGates::new(clock.clone(), faults.clone()),
            nodes: FakeNodes::new(clock.clone(), faults.clone(), database.clone()),
            writers: FakeWriters::new(clock.clone(), faults.clone()),
            queues: FakeQueues::new(clock.clone(), faults.clone()),
            discord: FakeDiscord::default(),
            receiver: FakeReceiver::default(),
            signing: SigningSecret::parse(WEBHOOK_SECRET).unwrap(),
            web: FakeWeb::new(clock.clone()),
            alice,
            database,
            faults,
            clock,
        }
    }

    /// A world with one node for each behaviour: `node-1`, `node-2`…
    pub fn with_nodes(behaviours: impl IntoIterator<Item = Behaviour>) -> Self {
        let world = Self::empty();
        for (index, behaviour) in behaviours.into_iter().enumerate() {
            world.nodes.add(&format!("node-{}", index + 1), MODEL, behaviour);
        }
        world
    }

    pub fn ports(&self) -> JobPorts<'_> {
        JobPorts {
            clock: &self.clock,
            jobs: &self.database,
            account: &self.gates,
            job_room: &self.gates,
            fleet: &self.nodes,
            node_client: &self.nodes,
            queues: &self.queues,
            files: &self.database,
            scene_model: MODEL,
            image_model: MODEL,
            image_steps: IMAGE_STEPS,
            image_url_lifetime_s: 3_600,
            lease_s: LEASE_S,
        }
    }

    pub fn outbox_ports(&self) -> OutboxPorts<'_> {
        OutboxPorts {
            clock: &self.clock,
            random: &FixedRandom,
            outbox: &self.database,
            discord: Some(&self.discord),
            webhook: Some(Webhook {
                receiver: &self.receiver,
                secret: WEBHOOK_SECRET,
                signing: &self.signing,
                environment: Environment::Local,
            }),
        }
    }

    /// Alice orders a scene.
    pub fn order(&self, number: u8) -> Result<Job> {
        self.clock.run(accept_job(&self.ports(), &self.alice, &new_scene(number, scene_input())))
    }

    /// Alice orders a scene, and is promised it.
    pub fn accepted(&self, number: u8) -> JobId {
        self.order(number).expect("the order must be accepted").id
    }

    /// The row, as it is.
    pub fn job(&self, id: JobId) -> Job {
        self.database.tables().jobs[&id].job.clone()
    }

    /// One delivery of the message that is due first.
    pub fn deliver(&self) -> Consumed {
        let message = self.queues.take_generation().expect("a message must wait");
        self.consume(message)
    }

    /// One delivery of this message; a retry puts it back.
    pub fn consume(&self, message: GenerationMessage) -> Consumed {
        let consumed = self.clock.run(consume(&self.ports(), message.clone()));
        if let Consumed::Retry { delay_s } = consumed {
            self.queues.put_back(message, delay_s);
        }
        consumed
    }

    /// Delivers, and lets the reaper look each minute, until the job has ended and no message waits.
    pub fn run_to_the_end(&self, id: JobId) {
        for _ in 0..100 {
            if !self.queues.waiting_generation().is_empty() {
                self.deliver();
            } else if self.job(id).status.is_end() {
                return;
            } else {
                self.reap_after_s(GRACE_S + 1);
            }
        }
        panic!("{id} did not end: {:?}", self.job(id));
    }

    /// The reaper, after a while.
    pub fn reap_after_s(&self, seconds: u32) {
        self.clock.advance_ms(u64::from(seconds) * 1_000);
        // A reaper that fails comes back the next minute.
        let _ = self.clock.run(reap_jobs(&self.database, &self.queues, GRACE_S));
    }

    /// Delivers the outbox once.
    pub fn deliver_outbox(&self) -> Result<Next> {
        self.clock.run(deliver_outbox(&self.outbox_ports()))
    }

    /// Delivers the outbox until nothing waits.
    pub fn drain_outbox(&self) {
        for _ in 0..50 {
            let _ = self.deliver_outbox();
            if self.database.tables().outbox.iter().all(|entry| entry.row.status != "pending") {
                return;
            }
            self.clock.advance_ms(3_600_000);
        }
        panic!("the outbox did not empty");
    }

    /// Whether the job completed with each of its effects once.
    pub fn assert_completed_once(&self, id: JobId, context: &str) {
        let job = self.job(id);
        assert_eq!(job.status, JobStatus::Completed, "{context}: {job:?}");
        {
            let tables = self.database.tables();
            let scenes = tables.scenes.iter().filter(|scene| scene.id.0 == id.0).count();
            let charges = tables.charges.iter().filter(|(_, charged, _)| *charged == id).count();
            let entries = tables.outbox.iter().filter(|entry| entry.row.job_id == Some(id)).count();
            let folder = format!("scenes/{}/{id}/", self.alice.user_id);
            let files = tables.files.keys().filter(|path| path.starts_with(&folder)).count();
            assert_eq!((scenes, charges, entries, files), (1, 1, 1, 1), "{context}");
            assert_eq!(job.outputs[0].path, format!("{folder}0.png"), "{context}");
        }
        let charged = self.gates.settled(id);
        assert!(!charged.is_empty() && charged.iter().all(|credits| *credits == 1), "{context}");
        self.assert_told(id, JobStatus::Completed, context);
    }

    /// Whether watchers saw progress that never fell, and one end, last.
    pub fn assert_told(&self, id: JobId, end: JobStatus, context: &str) {
        let events = self.gates.events(id);
        let ends: Vec<JobStatus> =
            events.iter().map(|event| event.status).filter(|status| status.is_end()).collect();
        assert_eq!(ends, [end], "{context}");
        assert_eq!(events.last().map(|event| event.status), Some(end), "{context}");
        let progress: Vec<u8> = events.iter().map(|event| event.progress).collect();
        assert!(progress.is_sorted(), "{context}: {progress:?}");
    }
}
