//! One job's room: its last events, and whoever watches.
//!
//! Atomic because an object runs one request at a time between two waits: giving an event its number, storing it and
//! telling the watchers have no wait between them, so every watcher sees every event once and in order.

use std::{cell::RefCell, time::Duration};

use futures_channel::{mpsc, oneshot};
use futures_util::{
    StreamExt,
    future::{Either, select},
    stream,
};
use shared::api::jobs::JobEvent;
use worker::{
    Delay, DurableObject, Env, Error, Request, Response, Result, SqlStorage, State, console_error,
    durable_object, wasm_bindgen,
};

use super::{answer, number, open, order, texts};
use crate::{
    adapters::http_client::within,
    gates::job_room::{
        KEPT_AFTER_END_MS, KEPT_IDLE_MS, Message, Numbered, Opening, RoomCall, RoomGate,
    },
};

const TABLE: &str =
    "create table if not exists events (number integer primary key, numbered text not null)";

/// Proxies close what is silent for longer than half a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Keeps the events in memory and on disk, and the watchers in memory only: they come back by themselves.
#[durable_object(alarm)]
pub struct JobRoomDo {
    state: State,
    sql: SqlStorage,
    room: RefCell<RoomGate>,
    watchers: RefCell<Vec<mpsc::UnboundedSender<Message>>>,
    waiting: RefCell<Vec<oneshot::Sender<JobEvent>>>,
}

impl DurableObject for JobRoomDo {
    fn new(state: State, _env: Env) -> Self {
        let sql = open(&state, TABLE);
        let stored = read_events(&sql).unwrap_or_else(|error| {
            console_error!("reading a room: {error}");
            Vec::new()
        });
        let room = RefCell::new(RoomGate::from_stored(stored));
        Self { state, sql, room, watchers: RefCell::default(), waiting: RefCell::default() }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        match order(request).await? {
            RoomCall::Publish { event } => answer(&self.publish(event).await?),
            RoomCall::Watch { last_event_id, present } => {
                if self.room.borrow().misses_end(&present) {
                    self.publish(present.clone()).await?;
                }
                self.watch(last_event_id, present)
            }
            RoomCall::WaitForEnd { timeout_ms } => answer(&self.wait_for_end(timeout_ms).await),
        }
    }

    /// The room is no longer needed.
    async fn alarm(&self) -> Result<Response> {
        self.watchers.borrow_mut().clear();
        self.waiting.borrow_mut().clear();
        *self.room.borrow_mut() = RoomGate::default();
        self.state.storage().delete_all().await?;
        self.sql.exec(TABLE, None)?;
        Response::empty()
    }
}

impl JobRoomDo {
    async fn publish(&self, event: JobEvent) -> Result<()> {
        let Some(numbered) = self.room.borrow_mut().publish(event) else { return Ok(()) };
        if let Err(error) = self.keep(&numbered) {
            // Memory must not know more than the disk: the event is published again.
            *self.room.borrow_mut() = RoomGate::from_stored(read_events(&self.sql)?);
            return Err(error);
        }
        let event = numbered.event.clone();
        let is_first = numbered.number == 1;
        let message = Message::from(numbered);
        self.watchers
            .borrow_mut()
            .retain(|watcher| watcher.unbounded_send(message.clone()).is_ok());
        if event.status.is_end() {
            // Their streams close once they were told.
            self.watchers.borrow_mut().clear();
            for waiting in self.waiting.take() {
                drop(waiting.send(event.clone()));
            }
            self.keep_for(KEPT_AFTER_END_MS).await?;
        } else if is_first {
            self.keep_for(KEPT_IDLE_MS).await?;
        }
        Ok(())
    }

    fn watch(&self, last_event_id: Option<u64>, present: JobEvent) -> Result<Response> {
        let (sender, receiver) = mpsc::unbounded();
        let opening = self.room.borrow().open(last_event_id, present);
        let first = match opening {
            // Tells a browser's EventSource to stop coming back.
            Opening::NothingLeft => return Ok(Response::empty()?.with_status(204)),
            Opening::Complete(messages) => messages,
            Opening::Live(messages) => {
                self.watchers.borrow_mut().push(sender);
                messages
            }
        };
        let text: String = first.iter().map(Message::to_sse).collect();
        let opening = stream::once(async move { format!("retry: 2000\n\n{text}") });
        let following = stream::unfold(receiver, |mut receiver| async move {
            let quiet = Delay::from(KEEP_ALIVE);
            match select(receiver.next(), quiet).await {
                Either::Left((message, _)) => Some((message?.to_sse(), receiver)),
                Either::Right(_) => Some((": still here\n\n".to_owned(), receiver)),
            }
        });
        let events = opening.chain(following).map(String::into_bytes).map(Result::<_, Error>::Ok);
        let response = Response::from_stream(events)?;
        response.headers().set("content-type", "text/event-stream")?;
        response.headers().set("cache-control", "no-cache, no-transform")?;
        Ok(response)
    }

    async fn wait_for_end(&self, timeout_ms: u64) -> Option<JobEvent> {
        let end = self.room.borrow().end().cloned();
        if end.is_some() {
            return end;
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().retain(|other| !other.is_canceled());
        self.waiting.borrow_mut().push(sender);
        let timeout_ms = u32::try_from(timeout_ms).unwrap_or(u32::MAX);
        within(timeout_ms, receiver).await?.ok()
    }

    fn keep(&self, numbered: &Numbered) -> Result<()> {
        self.sql.exec(
            "insert or replace into events values (?, ?)",
            vec![number(numbered.number), serde_json::to_string(numbered)?.into()],
        )?;
        Ok(())
    }

    async fn keep_for(&self, ms: u64) -> Result<()> {
        self.state.storage().set_alarm(Duration::from_millis(ms)).await
    }
}

fn read_events(sql: &SqlStorage) -> Result<Vec<Numbered>> {
    let rows = texts(sql, "select numbered from events order by number", vec![])?;
    rows.iter().map(|numbered| Ok(serde_json::from_str(numbered)?)).collect()
}
