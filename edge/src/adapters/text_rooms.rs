//! The rooms of texts, kept by their Durable Objects (`durable/text_room_do.rs`).

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use shared::ids::{JobId, UserId};
use worker::{Env, send::SendFuture};

use super::{http_client::Answer, native::native_response, stub::Object};
use crate::{
    error::Error,
    gates::text_room::TextRoomCall,
    ports::{
        NativeResponse,
        text::{
            AnsweredText, CacheState, OpenedText, RoomResult, RunPlace, TextFailure, TextRooms,
            TextRun,
        },
    },
};

/// The first word, after as many nodes as are asked.
const FIRST_WORD_MS: u32 = 110_000;

/// A whole answer of several calls.
const ANSWER_MS: u32 = 10 * 60 * 1000;

/// The room's answer is a failure, not what was asked for.
pub(super) const FAILED_HEADER: &str = "x-room-failed";
pub(super) const CACHE_HEADER: &str = "x-room-cache";
pub(super) const RUN_HEADER: &str = "x-room-run";

/// The objects of class `TextRoomDo`, one per request's hash.
pub struct DurableTextRooms {
    pub env: Env,
}

impl DurableTextRooms {
    async fn call(&self, room: &str, call: TextRoomCall, timeout_ms: u32) -> RoomResult<Answer> {
        let object = Object { env: &self.env, binding: "TEXT_ROOM", what: "text room", name: room };
        let answer = object.fetch(&call, timeout_ms).await?;
        if answer.header(FAILED_HEADER).is_some() {
            return Err(read(&answer).await?);
        }
        match answer.status() {
            200 | 204 | 404 => Ok(answer),
            status => Err(Error::unavailable("text room", format!("status {status}")).into()),
        }
    }
}

async fn read<T: DeserializeOwned>(answer: &Answer) -> RoomResult<T> {
    let text = answer.text().await.map_err(|error| TextFailure::PartAway { cause: error.0 })?;
    serde_json::from_str(&text).map_err(|error| Error::internal(error).into())
}

#[async_trait]
impl TextRooms for DurableTextRooms {
    async fn stream(&self, run: &TextRun, last_event_id: Option<u64>) -> RoomResult<OpenedText> {
        let call = TextRoomCall::Stream { run: Box::new(run.clone()), last_event_id };
        SendFuture::new(async move {
            let answer = self.call(&run.room, call, FIRST_WORD_MS).await?;
            let cache = match answer.header(CACHE_HEADER).as_deref() {
                Some("hit") => CacheState::Hit,
                Some("shared") => CacheState::Shared,
                _ => CacheState::Miss,
            };
            let run_id: Option<JobId> =
                answer.header(RUN_HEADER).and_then(|text| text.parse().ok());
            let run_id = run_id.unwrap_or(run.run_id);
            Ok(OpenedText { run_id, cache, stream: native_response(answer) })
        })
        .await
    }

    async fn answer(&self, run: &TextRun) -> RoomResult<AnsweredText> {
        let call = TextRoomCall::Answer { run: Box::new(run.clone()) };
        SendFuture::new(async move { read(&self.call(&run.room, call, ANSWER_MS).await?).await })
            .await
    }

    async fn resume(
        &self,
        place: &RunPlace,
        user_id: UserId,
        last_event_id: Option<u64>,
    ) -> RoomResult<Option<NativeResponse>> {
        let call = TextRoomCall::Resume { run_id: place.run_id, user_id, last_event_id };
        SendFuture::new(async move {
            let answer = self.call(&place.room, call, FIRST_WORD_MS).await?;
            Ok((answer.status() != 404).then(|| native_response(answer)))
        })
        .await
    }
}
