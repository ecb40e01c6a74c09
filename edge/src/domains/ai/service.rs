//! Asking the AI service: the request gets its room by its hash, and the room the answer.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use shared::ids::{JobId, UserId};

use super::prompts;
use crate::{
    caller::Caller,
    error::{Error, Result},
    ports::{
        NativeResponse,
        system::{Background, Clock, Random},
        text::{
            AnsweredText, CacheState, FreeText, OpenedText, TextOrder, TextRooms, TextRun,
            TextStore,
        },
    },
    state::AppState,
};

/// Who asks, and under which names.
#[derive(Debug, Clone)]
pub struct Asked {
    pub run_id: JobId,
    pub caller: Caller,
    pub request_id: String,
    pub asked_ms: u64,
    /// `Cache-Control: no-cache`: the caller wants something new.
    pub is_fresh: bool,
}

impl Asked {
    pub fn new(
        run_id: JobId,
        caller: &Caller,
        request_id: String,
        asked_ms: u64,
        is_fresh: bool,
    ) -> Self {
        Self { run_id, caller: caller.clone(), request_id, asked_ms, is_fresh }
    }
}

/// What the service needs to be asked.
#[derive(Clone)]
pub struct AiService {
    /// The model that writes.
    pub model: String,
    pub rooms: Arc<dyn TextRooms>,
    pub texts: Arc<dyn TextStore>,
    pub background: Arc<dyn Background>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

impl From<&AppState> for AiService {
    fn from(state: &AppState) -> Self {
        Self {
            model: state.config.text_model.clone(),
            rooms: Arc::clone(&state.text_rooms),
            texts: Arc::clone(&state.texts),
            background: Arc::clone(&state.background),
            clock: Arc::clone(&state.clock),
            random: Arc::clone(&state.random),
        }
    }
}

impl AiService {
    /// The whole answer.
    pub async fn answer(&self, asked: &Asked, order: TextOrder) -> Result<AnsweredText> {
        let run = self.run_of(asked, order)?;
        let answered = self.rooms.answer(&run).await.map_err(Error::from)?;
        self.record(&run, answered.cache);
        Ok(answered)
    }

    /// The answer as it is written, from after an event that was seen.
    pub async fn stream(
        &self,
        asked: &Asked,
        order: TextOrder,
        last_event_id: Option<u64>,
    ) -> Result<OpenedText> {
        let run = self.run_of(asked, order)?;
        let opened = self.rooms.stream(&run, last_event_id).await.map_err(Error::from)?;
        if last_event_id.is_none() {
            self.record(&run, opened.cache);
        }
        Ok(opened)
    }

    /// The events of one of the caller's runs, from after one that was seen.
    pub async fn resume(
        &self,
        caller: &Caller,
        run_id: JobId,
        last_event_id: Option<u64>,
    ) -> Result<NativeResponse> {
        let place = self.texts.find(&caller.token, run_id).await?.ok_or(Error::NotFound)?;
        let resumed = self.rooms.resume(&place, caller.user_id, last_event_id).await;
        resumed.map_err(Error::from)?.ok_or(Error::NotFound)
    }

    fn run_of(&self, asked: &Asked, order: TextOrder) -> Result<TextRun> {
        let digest = digest_of(asked.caller.user_id, &order)?;
        let chance = if asked.is_fresh { self.random.bytes() } else { first_half(&digest) };
        Ok(TextRun {
            run_id: asked.run_id,
            user_id: asked.caller.user_id,
            token: asked.caller.token.clone(),
            request_id: asked.request_id.clone(),
            asked_ms: asked.asked_ms,
            room: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            seed: seed_of(chance),
            is_fresh: asked.is_fresh,
            order,
        })
    }

    /// An answer that nobody had to write is recorded too, after it was given.
    fn record(&self, run: &TextRun, cache: CacheState) {
        if cache == CacheState::Miss {
            return;
        }
        let (texts, run) = (Arc::clone(&self.texts), run.clone());
        let duration_ms = self.clock.now_ms().saturating_sub(run.asked_ms);
        self.background.spawn(Box::pin(async move {
            let free = FreeText {
                id: run.run_id,
                user_id: run.user_id,
                kind: &run.order.task,
                model: &run.order.model,
                room: &run.room,
                request_id: &run.request_id,
                cache,
                duration_ms,
            };
            if let Err(error) = texts.record_free(&free).await {
                tracing::warn!(run = %run.run_id, %error, "a kept answer was not recorded");
            }
        }));
    }
}

/// Everything that decides the answer, and whose it is: nobody learns from a fast answer what somebody else asked.
fn digest_of(user: UserId, order: &TextOrder) -> Result<[u8; 32]> {
    let prompt = prompts::render(&order.task, order.language, &order.values);
    let prompt = prompt.ok_or_else(|| Error::internal(format!("no prompt for {}", order.task)))?;
    let all = serde_json::to_vec(&(user, &prompt.system, order)).map_err(Error::internal)?;
    Ok(Sha256::digest(all).into())
}

fn first_half(digest: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

/// Small enough to be exact in JSON wherever it is read, with room for a run's further calls.
fn seed_of(chance: [u8; 16]) -> u64 {
    u128::from_be_bytes(chance) as u64 >> 16
}
