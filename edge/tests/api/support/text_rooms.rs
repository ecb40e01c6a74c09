//! The rooms of texts on top of the very state machine their Durable Object holds, in memory.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use edge::{
    domains::ai::{conduct::conduct, text_ports::TextPorts},
    error::Error,
    gates::text_room::{Entry, KeptRun, TextRoomGate},
    ports::{
        NativeResponse,
        system::{Background, Clock, NativeBody},
        text::{
            AnsweredText, CacheState, OpenedText, RoomResult, RunEnd, RunPlace, TextFailure,
            TextRooms, TextRun, TextSink,
        },
    },
};
use futures_util::future::{Either, select};
use shared::{api::assistant::AnswerEvent, ids::UserId};

use super::{
    clock::FakeClock,
    database::FakeDatabase,
    faults::{Faults, Part},
    gates::FakeGates,
    nodes::FakeNodes,
    runtime::FakeBackground,
    world::World,
    writers::FakeWriters,
};

/// How often somebody who waits looks again.
const LOOK_MS: u64 = 10;

/// All rooms.
#[derive(Clone)]
pub struct FakeTextRooms {
    clock: FakeClock,
    faults: Faults,
    nodes: FakeNodes,
    writers: FakeWriters,
    database: FakeDatabase,
    gates: FakeGates,
    background: FakeBackground,
    rooms: Arc<Mutex<HashMap<String, TextRoomGate>>>,
    is_handed_over: Arc<AtomicBool>,
    is_deserted: Arc<AtomicBool>,
}

impl FakeTextRooms {
    pub fn new(world: &World, background: FakeBackground) -> Self {
        Self {
            clock: world.clock.clone(),
            faults: world.faults.clone(),
            nodes: world.nodes.clone(),
            writers: world.writers.clone(),
            database: world.database.clone(),
            gates: world.gates.clone(),
            background,
            rooms: Arc::default(),
            is_handed_over: Arc::default(),
            is_deserted: Arc::default(),
        }
    }

    /// From now on a stream ends for its caller with its first word, while the text goes on to be written.
    pub fn hand_over_at_the_first_word(&self) {
        self.is_handed_over.store(true, Ordering::Relaxed);
    }

    /// From now on nobody listens.
    pub fn desert(&self) {
        self.is_deserted.store(true, Ordering::Relaxed);
    }

    /// Every room's object restarts with what it stored when its run began.
    pub fn lose_the_runs(&self) {
        for gate in self.rooms.lock().unwrap().values_mut() {
            let kept = gate.kept().cloned();
            let stored = kept.map(|kept| KeptRun { events: Vec::new(), end: None, ..kept });
            *gate = TextRoomGate::from_stored(stored);
        }
    }

    fn with<T>(&self, room: &str, act: impl FnOnce(&mut TextRoomGate) -> T) -> T {
        act(self.rooms.lock().unwrap().entry(room.to_owned()).or_default())
    }

    fn pass(&self, name: &'static str) -> RoomResult<()> {
        self.faults.pass(Part::Gate, name, || Ok(())).map_err(TextFailure::from)
    }

    async fn until(&self, room: &str, is_over: fn(&TextRoomGate) -> bool) {
        while !self.with(room, |gate| is_over(gate)) {
            self.clock.sleep_ms(LOOK_MS).await;
        }
    }

    /// Lets the request in, and has the text written until it may be answered.
    async fn enter(
        &self,
        run: &TextRun,
        last_event_id: Option<u64>,
        is_over: fn(&TextRoomGate) -> bool,
    ) -> CacheState {
        let now_ms = self.clock.now_ms();
        let wait = Box::pin(self.until(&run.room, is_over));
        match self.with(&run.room, |gate| gate.enter(run, last_event_id, now_ms)) {
            Entry::Begin => {
                let (rooms, run) = (self.clone(), run.clone());
                let work = Box::pin(async move { rooms.conduct(&run).await });
                if let Either::Right(((), work)) = select(work, wait).await {
                    self.background.spawn(work);
                }
                CacheState::Miss
            }
            Entry::Join(cache) | Entry::Ready(cache) => {
                wait.await;
                cache
            }
        }
    }

    async fn conduct(&self, run: &TextRun) {
        let ports = TextPorts {
            clock: &self.clock,
            fleet: &self.nodes,
            text_nodes: &self.writers,
            texts: &self.database,
            account: &self.gates,
            jobs: &self.database,
        };
        let mut sink = FakeSink { rooms: self.clone(), room: run.room.clone() };
        conduct(&ports, run, &mut sink).await;
    }

    fn stream_of(&self, room: &str, last_event_id: Option<u64>) -> RoomResult<NativeResponse> {
        self.with(room, |gate| {
            let kept = gate.kept().ok_or(TextFailure::Lost)?;
            if let Some(failure) = kept.silent_failure() {
                return Err(failure.clone());
            }
            let text = kept.events_after(last_event_id);
            let status = if text.is_empty() && kept.end.is_some() { 204 } else { 200 };
            Ok(NativeResponse {
                status,
                headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
                body: NativeBody::Bytes(text.into_bytes()),
            })
        })
    }
}

#[async_trait]
impl TextRooms for FakeTextRooms {
    async fn stream(&self, run: &TextRun, last_event_id: Option<u64>) -> RoomResult<OpenedText> {
        self.pass("room.text")?;
        let is_over = match self.is_handed_over.load(Ordering::Relaxed) {
            true => TextRoomGate::is_ready,
            false => TextRoomGate::is_ended,
        };
        let cache = self.enter(run, last_event_id, is_over).await;
        let stream = self.stream_of(&run.room, last_event_id)?;
        let run_id = self.with(&run.room, |gate| gate.kept().map(|kept| kept.run_id));
        Ok(OpenedText { run_id: run_id.unwrap_or(run.run_id), cache, stream })
    }

    async fn answer(&self, run: &TextRun) -> RoomResult<AnsweredText> {
        self.pass("room.text")?;
        let cache = self.enter(run, None, TextRoomGate::is_ended).await;
        self.with(&run.room, |gate| {
            let kept = gate.kept().ok_or(TextFailure::Lost)?;
            match kept.end.clone().ok_or(TextFailure::Lost)? {
                RunEnd::Answered { written_ms, answer } => {
                    Ok(AnsweredText { run_id: kept.run_id, cache, written_ms, answer })
                }
                RunEnd::Failed { failure } => Err(failure),
            }
        })
    }

    async fn resume(
        &self,
        place: &RunPlace,
        user: UserId,
        last_event_id: Option<u64>,
    ) -> RoomResult<Option<NativeResponse>> {
        self.pass("room.text")?;
        if !self.with(&place.room, |gate| gate.find(place.run_id, user).is_some()) {
            return Ok(None);
        }
        self.until(&place.room, TextRoomGate::is_ended).await;
        self.stream_of(&place.room, last_event_id).map(Some)
    }
}

struct FakeSink {
    rooms: FakeTextRooms,
    room: String,
}

impl TextSink for FakeSink {
    fn tell(&mut self, event: AnswerEvent) -> bool {
        let listeners = usize::from(!self.rooms.is_deserted.load(Ordering::Relaxed));
        let now_ms = self.rooms.clock.now_ms();
        self.rooms.with(&self.room, |gate| {
            gate.publish(event);
            gate.is_wanted(listeners, now_ms)
        })
    }

    fn end(&mut self, end: RunEnd) {
        self.rooms.with(&self.room, |gate| gate.end(end));
    }
}

/// Errors of the app travel through rooms as failures, and come out as what they were.
#[test]
fn a_failure_comes_out_of_a_room_as_the_error_it_was() {
    let refusal = Error::NoCredit { balance: 3, reserved: 1 };
    let back = Error::from(TextFailure::from(refusal));
    assert!(matches!(back, Error::NoCredit { balance: 3, reserved: 1 }));
    let away = Error::from(TextFailure::from(Error::unavailable("database", "gone")));
    assert!(matches!(away, Error::Unavailable { .. }));
}
