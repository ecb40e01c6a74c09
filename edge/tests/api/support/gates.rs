//! The Durable Objects' roles on top of the very state machines they hold, in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use edge::{
    error::Result,
    gates::{
        account::AccountGate,
        idempotency::{KeyRecord, begin_key},
        job_room::{Opening, RoomGate},
    },
    ports::{
        NativeResponse,
        gates::{Account, JobRoom, JobSize, KeyState, LedgerState, Reservation, StoredAnswer},
        system::{Clock, NativeBody},
    },
};
use shared::{
    api::jobs::JobEvent,
    ids::{JobId, UserId},
};

use super::{
    clock::FakeClock,
    faults::{Faults, Part},
};

#[derive(Default)]
struct State {
    accounts: HashMap<UserId, AccountGate>,
    keys: HashMap<(UserId, String), KeyRecord>,
    rooms: HashMap<JobId, RoomGate>,
    taken: Vec<JobEvent>,
    settled: Vec<(JobId, i64)>,
}

/// All accounts and rooms.
#[derive(Clone)]
pub struct FakeGates {
    clock: FakeClock,
    faults: Faults,
    state: Arc<Mutex<State>>,
}

impl FakeGates {
    pub fn new(clock: FakeClock, faults: Faults) -> Self {
        Self { clock, faults, state: Arc::default() }
    }

    /// The events a room took, in order.
    pub fn events(&self, job: JobId) -> Vec<JobEvent> {
        let state = self.state.lock().unwrap();
        state.taken.iter().filter(|event| event.job_id == job).cloned().collect()
    }

    /// What reservations were ended with.
    pub fn settled(&self, job: JobId) -> Vec<i64> {
        let state = self.state.lock().unwrap();
        state.settled.iter().filter(|(settled, _)| *settled == job).map(|(_, c)| *c).collect()
    }

    fn with_account<T>(&self, user: UserId, act: impl FnOnce(&mut AccountGate, u64) -> T) -> T {
        let now_ms = self.clock.now_ms();
        act(self.state.lock().unwrap().accounts.entry(user).or_default(), now_ms)
    }
}

#[async_trait]
impl Account for FakeGates {
    async fn reserve(
        &self,
        user: UserId,
        job: JobId,
        size: JobSize,
        ledger: Option<LedgerState>,
    ) -> Result<Reservation> {
        self.faults.pass(Part::Gate, "account.reserve", || {
            Ok(self.with_account(user, |gate, now| gate.reserve(job, size, ledger, now)))
        })
    }

    async fn reserve_text(
        &self,
        user: UserId,
        run: JobId,
        tokens: u64,
        ledger: Option<LedgerState>,
    ) -> Result<Reservation> {
        self.faults.pass(Part::Gate, "account.reserve_text", || {
            Ok(self.with_account(user, |gate, now| gate.reserve_text(run, tokens, ledger, now)))
        })
    }

    async fn settle(&self, user: UserId, job: JobId, charged: i64) -> Result<()> {
        self.faults.pass(Part::Gate, "account.settle", || {
            self.with_account(user, |gate, now| gate.settle(job, charged, now));
            self.state.lock().unwrap().settled.push((job, charged));
            Ok(())
        })
    }

    async fn forget_balance(&self, user: UserId) -> Result<()> {
        self.faults.pass(Part::Gate, "account.forget_balance", || {
            self.with_account(user, |gate, _| gate.forget_balance());
            Ok(())
        })
    }

    async fn compare(&self, user: UserId, ledger: LedgerState) -> Result<u64> {
        self.faults.pass(Part::Gate, "account.compare", || {
            Ok(self.with_account(user, |gate, now| gate.compare(ledger, now)))
        })
    }

    async fn begin_key(
        &self,
        user: UserId,
        key: &str,
        fingerprint: &str,
        job: JobId,
    ) -> Result<KeyState> {
        self.faults.pass(Part::Gate, "account.begin_key", || {
            let name = (user, key.to_owned());
            let mut state = self.state.lock().unwrap();
            let known = state.keys.get(&name).cloned();
            let (answer, record) = begin_key(known, fingerprint, job, self.clock.now_ms());
            if let Some(record) = record {
                state.keys.insert(name, record);
            }
            Ok(answer)
        })
    }

    async fn finish_key(
        &self,
        user: UserId,
        key: &str,
        answer: Option<StoredAnswer>,
    ) -> Result<()> {
        self.faults.pass(Part::Gate, "account.finish_key", || {
            let mut state = self.state.lock().unwrap();
            if let Some(record) = state.keys.get_mut(&(user, key.to_owned())) {
                record.finish(answer);
            }
            Ok(())
        })
    }
}

#[async_trait]
impl JobRoom for FakeGates {
    async fn publish(&self, event: JobEvent) -> Result<()> {
        self.faults.pass(Part::Gate, "room.publish", || {
            let mut state = self.state.lock().unwrap();
            let room = state.rooms.entry(event.job_id).or_default();
            if let Some(taken) = room.publish(event) {
                state.taken.push(taken.event);
            }
            Ok(())
        })
    }

    async fn watch(
        &self,
        job: JobId,
        last_event_id: Option<u64>,
        present: JobEvent,
    ) -> Result<NativeResponse> {
        self.faults.pass(Part::Gate, "room.watch", || {
            let mut state = self.state.lock().unwrap();
            let opening = state.rooms.entry(job).or_default().open(last_event_id, present);
            let (status, messages) = match opening {
                Opening::Live(messages) | Opening::Complete(messages) => (200, messages),
                Opening::NothingLeft => (204, Vec::new()),
            };
            let stream: String = messages.iter().map(|message| message.to_sse()).collect();
            Ok(NativeResponse {
                status,
                headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
                body: NativeBody::Bytes(stream.into_bytes()),
            })
        })
    }

    async fn wait_for_end(&self, job: JobId, timeout_ms: u64) -> Result<Option<JobEvent>> {
        self.faults.pass(Part::Gate, "room.wait_for_end", || Ok(()))?;
        let until_ms = self.clock.now_ms() + timeout_ms;
        loop {
            let end = self.state.lock().unwrap().rooms.entry(job).or_default().end().cloned();
            if end.is_some() || self.clock.now_ms() >= until_ms {
                return Ok(end);
            }
            self.clock.sleep_ms(100).await;
        }
    }
}
