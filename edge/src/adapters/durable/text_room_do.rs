//! One request's text: written here once, for everyone who asks for it meanwhile and afterwards.
//!
//! The run belongs to the object and not to the request that began it, so no request awaits what another one started,
//! and it survives a caller who reconnects. Atomic because an object runs one request at a time between two waits:
//! deciding that a run is needed and having begun it have none between them, nor have an event's number and its telling.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use futures_channel::{mpsc, oneshot};
use futures_util::{
    StreamExt,
    future::{Either, select},
    stream,
};
use serde::Serialize;
use shared::api::assistant::AnswerEvent;
use worker::{
    Delay, DurableObject, Env, Error, Request, Response, Result, SqlStorage, State, console_error,
    durable_object, send::SendWrapper, wasm_bindgen, wasm_bindgen_futures::spawn_local,
};

use super::{answer, open, order, texts};
use crate::{
    adapters::{
        clock::now_ms,
        text_rooms::{CACHE_HEADER, FAILED_HEADER, RUN_HEADER},
    },
    domains::ai::{conduct::conduct, text_ports::TextPorts},
    gates::text_room::{Entry, KEPT_FOR_MS, KeptRun, TextRoomCall, TextRoomGate, to_sse},
    ports::text::{AnsweredText, CacheState, RunEnd, TextFailure, TextRun, TextSink},
    state::AppState,
};

const TABLE: &str =
    "create table if not exists run (id integer primary key check (id = 1), kept text not null)";

/// Proxies close what is silent for longer than half a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Keeps the run in memory while it is written, and on disk when it begins and when it has ended.
#[durable_object(alarm)]
pub struct TextRoomDo(Rc<Room>);

struct Room {
    state: State,
    env: Env,
    sql: SqlStorage,
    gate: RefCell<TextRoomGate>,
    listeners: RefCell<Vec<mpsc::UnboundedSender<String>>>,
    waiting: RefCell<Vec<Waiting>>,
}

struct Waiting {
    for_the_end: bool,
    tell: oneshot::Sender<()>,
}

impl DurableObject for TextRoomDo {
    fn new(state: State, env: Env) -> Self {
        let sql = open(&state, TABLE);
        let kept = read_run(&sql).unwrap_or_else(|error| {
            console_error!("reading a text's room: {error}");
            None
        });
        let gate = RefCell::new(TextRoomGate::from_stored(kept));
        let (listeners, waiting) = (RefCell::default(), RefCell::default());
        Self(Rc::new(Room { state, env, sql, gate, listeners, waiting }))
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let room = &self.0;
        match order(request).await? {
            TextRoomCall::Stream { run, last_event_id } => {
                let (cache, is_new) = room.enter(&run, last_event_id).await?;
                room.wait(false).await;
                let last_event_id = last_event_id.filter(|_| !is_new);
                let response = room.stream(last_event_id)?;
                with_headers(response, cache, &room.gate.borrow())
            }
            TextRoomCall::Answer { run } => {
                let (cache, _) = room.enter(&run, None).await?;
                room.wait(true).await;
                room.answer(cache)
            }
            TextRoomCall::Resume { run_id, user_id, last_event_id } => {
                let is_here = room.gate.borrow().find(run_id, user_id).is_some();
                if is_here { room.stream(last_event_id) } else { Response::error("gone", 404) }
            }
        }
    }

    /// The room is no longer needed.
    async fn alarm(&self) -> Result<Response> {
        let room = &self.0;
        *room.gate.borrow_mut() = TextRoomGate::default();
        room.state.storage().delete_all().await?;
        room.sql.exec(TABLE, None)?;
        Response::empty()
    }
}

impl Room {
    /// Begins the run if there is none to join; says where the answer comes from, and whether it begins here.
    async fn enter(
        self: &Rc<Self>,
        run: &TextRun,
        last: Option<u64>,
    ) -> Result<(CacheState, bool)> {
        let state = AppState::of_isolate(&self.env).map_err(|error| error.to_string())?;
        let entry = self.gate.borrow_mut().enter(run, last, now_ms());
        match entry {
            Entry::Join(cache) | Entry::Ready(cache) => Ok((cache, false)),
            Entry::Begin => {
                self.keep();
                self.begin(state, run.clone());
                let kept_for = Duration::from_millis(KEPT_FOR_MS);
                self.state.storage().set_alarm(kept_for).await?;
                Ok((CacheState::Miss, true))
            }
        }
    }

    fn begin(self: &Rc<Self>, state: Arc<AppState>, run: TextRun) {
        let mut sink = RoomSink(SendWrapper(Rc::clone(self)));
        spawn_local(async move {
            conduct(&TextPorts::from(state.as_ref()), &run, &mut sink).await;
        });
    }

    /// Until there is a first word, or the end.
    async fn wait(&self, for_the_end: bool) {
        let is_over = {
            let gate = self.gate.borrow();
            gate.is_ended() || (gate.is_ready() && !for_the_end)
        };
        if !is_over {
            let (tell, told) = oneshot::channel();
            self.waiting.borrow_mut().push(Waiting { for_the_end, tell });
            // A sender that is dropped has told as well.
            let _ = told.await;
        }
    }

    fn stream(&self, last_event_id: Option<u64>) -> Result<Response> {
        let (sender, receiver) = mpsc::unbounded();
        let first = {
            let gate = self.gate.borrow();
            let Some(kept) = gate.kept() else { return Response::error("gone", 404) };
            if let Some(failure) = kept.silent_failure() {
                return failed(failure);
            }
            let first = kept.events_after(last_event_id);
            if kept.end.is_none() {
                self.listeners.borrow_mut().push(sender);
            } else if first.is_empty() {
                // Tells a browser's EventSource to stop coming back.
                return Ok(Response::empty()?.with_status(204));
            }
            first
        };
        let opening = stream::once(async move { format!("retry: 2000\n\n{first}") });
        let following = stream::unfold(receiver, |mut receiver| async move {
            match select(receiver.next(), Delay::from(KEEP_ALIVE)).await {
                Either::Left((text, _)) => Some((text?, receiver)),
                Either::Right(_) => Some((": still here\n\n".to_owned(), receiver)),
            }
        });
        let events = opening.chain(following).map(String::into_bytes).map(Result::<_, Error>::Ok);
        let response = Response::from_stream(events)?;
        response.headers().set("content-type", "text/event-stream")?;
        response.headers().set("cache-control", "no-cache, no-transform")?;
        Ok(response)
    }

    fn answer(&self, cache: CacheState) -> Result<Response> {
        let gate = self.gate.borrow();
        match gate.kept() {
            Some(KeptRun {
                run_id,
                end: Some(RunEnd::Answered { written_ms, answer: written }),
                ..
            }) => answer(&AnsweredText {
                run_id: *run_id,
                cache,
                written_ms: *written_ms,
                answer: written.clone(),
            }),
            Some(KeptRun { end: Some(RunEnd::Failed { failure }), .. }) => failed(failure),
            _ => failed(&TextFailure::Lost),
        }
    }

    fn keep(&self) {
        let kept = self.gate.borrow().kept().map(serde_json::to_string);
        let stored = match kept {
            Some(Ok(kept)) => self
                .sql
                .exec("insert or replace into run values (1, ?)", vec![kept.into()])
                .map(drop),
            Some(Err(error)) => Err(error.into()),
            None => Ok(()),
        };
        if let Err(error) = stored {
            console_error!("keeping a text: {error}");
        }
    }

    fn wake(&self, is_end: bool) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        let (told, still): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|waiting| is_end || !waiting.for_the_end);
        *self.waiting.borrow_mut() = still;
        for waiting in told {
            let _ = waiting.tell.send(());
        }
    }
}

/// Where a run's words go: to the listeners, each word once and in order.
struct RoomSink(SendWrapper<Rc<Room>>);

impl TextSink for RoomSink {
    fn tell(&mut self, event: AnswerEvent) -> bool {
        let room = &self.0.0;
        let Some(number) = room.gate.borrow_mut().publish(event.clone()) else { return false };
        let text = to_sse(&event, number);
        let mut listeners = room.listeners.borrow_mut();
        listeners.retain(|listener| listener.unbounded_send(text.clone()).is_ok());
        let waiting = room.waiting.borrow().len();
        let is_wanted = room.gate.borrow_mut().is_wanted(listeners.len() + waiting, now_ms());
        drop(listeners);
        if number == 1 {
            room.wake(false);
        }
        is_wanted
    }

    fn end(&mut self, end: RunEnd) {
        let room = &self.0.0;
        room.gate.borrow_mut().end(end);
        // Their streams close once they were told.
        room.listeners.borrow_mut().clear();
        room.keep();
        room.wake(true);
    }
}

fn failed(failure: &impl Serialize) -> Result<Response> {
    let response = answer(failure)?;
    response.headers().set(FAILED_HEADER, "1")?;
    Ok(response)
}

fn with_headers(response: Response, cache: CacheState, gate: &TextRoomGate) -> Result<Response> {
    response.headers().set(CACHE_HEADER, cache.as_str())?;
    if let Some(kept) = gate.kept() {
        response.headers().set(RUN_HEADER, &kept.run_id.to_string())?;
    }
    Ok(response)
}

fn read_run(sql: &SqlStorage) -> Result<Option<KeptRun>> {
    let rows = texts(sql, "select kept from run", vec![])?;
    Ok(rows.first().map(|kept| serde_json::from_str(kept)).transpose()?)
}
