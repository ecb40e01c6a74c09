//! The job's room, kept by its Durable Object (`durable/job_room_do.rs`).

use async_trait::async_trait;
use shared::{api::jobs::JobEvent, ids::JobId};
use worker::{Env, send::SendFuture};

use super::{native::native_response, stub::Object};
use crate::{
    error::Result,
    gates::job_room::RoomCall,
    ports::{NativeResponse, gates::JobRoom},
};

const TIMEOUT_MS: u32 = 5_000;

/// The objects of class `JobRoomDo`, one per job.
pub struct DurableJobRoom {
    pub env: Env,
}

impl DurableJobRoom {
    fn object<'a>(&'a self, name: &'a str) -> Object<'a> {
        Object { env: &self.env, binding: "JOB_ROOM", what: "job room", name }
    }
}

#[async_trait]
impl JobRoom for DurableJobRoom {
    async fn publish(&self, event: JobEvent) -> Result<()> {
        let name = event.job_id.to_string();
        let object = self.object(&name);
        SendFuture::new(object.call(&RoomCall::Publish { event }, TIMEOUT_MS)).await
    }

    async fn watch(
        &self,
        job: JobId,
        last_event_id: Option<u64>,
        present: JobEvent,
    ) -> Result<NativeResponse> {
        let name = job.to_string();
        let object = self.object(&name);
        let call = RoomCall::Watch { last_event_id, present };
        SendFuture::new(async move { Ok(native_response(object.fetch(&call, TIMEOUT_MS).await?)) })
            .await
    }

    async fn wait_for_end(&self, job: JobId, timeout_ms: u64) -> Result<Option<JobEvent>> {
        let name = job.to_string();
        let object = self.object(&name);
        let patience_ms = u32::try_from(timeout_ms).unwrap_or(u32::MAX).saturating_add(TIMEOUT_MS);
        SendFuture::new(object.call(&RoomCall::WaitForEnd { timeout_ms }, patience_ms)).await
    }
}
