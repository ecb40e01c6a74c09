//! Bodies of requests: how large, how slow and how many at once they may be.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Bytes,
    extract::{DefaultBodyLimit, Request},
};
use bytes::BytesMut;
use futures_util::StreamExt;
use shared::limits::JSON_BODY_MAX_BYTES;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use crate::error::{Error, Result};

/// A body may pause for so long, or come at this pace: 32 MiB in nine minutes.
const PAUSE: Duration = Duration::from_secs(30);
const BYTES_PER_SECOND: u64 = 64 * 1024;
/// Bodies read or parsed at once whose size has passed that of a small one: half a gigabyte of them.
const LARGE_AT_ONCE: usize = 16;
/// How long the next one waits, unread, for a place.
const PLACE_PATIENCE: Duration = Duration::from_secs(30);
const RETRY_AFTER_MS: u64 = 5_000;

/// How large a body of this route may be.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit(usize);

/// The layer that gives a route a limit of its own.
pub fn body_limit(max_bytes: usize) -> (Extension<BodyLimit>, DefaultBodyLimit) {
    (Extension(BodyLimit(max_bytes)), DefaultBodyLimit::max(max_bytes))
}

/// The places of large bodies, for all routes together.
#[derive(Clone)]
pub struct LargeBodies(Arc<Semaphore>);

impl Default for LargeBodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_AT_ONCE)))
    }
}

impl LargeBodies {
    async fn place(&self) -> Result<OwnedSemaphorePermit> {
        let place = timeout(PLACE_PATIENCE, self.0.clone().acquire_owned()).await;
        place.ok().and_then(std::result::Result::ok).ok_or_else(|| Error::Unavailable {
            detail: "too many large bodies are being read".to_owned(),
            retry_after_ms: RETRY_AFTER_MS,
        })
    }
}

/// A body that was read to its end. A large one keeps its place for as long.
pub(super) struct WholeBody {
    pub(super) bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

/// The whole body, as far as its route's limit goes.
pub async fn read_bytes(request: Request) -> Result<Bytes> {
    Ok(read_body(request).await?.bytes)
}

pub(super) async fn read_body(request: Request) -> Result<WholeBody> {
    let extensions = request.extensions();
    let BodyLimit(max_bytes) = extensions.get().copied().unwrap_or(BodyLimit(JSON_BODY_MAX_BYTES));
    let large_bodies = extensions.get::<LargeBodies>().cloned().unwrap_or_default();
    let mut stream = request.into_body().into_data_stream();
    let (mut bytes, mut place) = (BytesMut::new(), None);
    let mut began = Instant::now();
    loop {
        let earned = Duration::from_secs(bytes.len() as u64 / BYTES_PER_SECOND);
        let next = timeout_at(began + PAUSE + earned, stream.next()).await;
        let chunk = match next.map_err(|_| Error::BodyTooSlow)? {
            Some(chunk) => chunk.map_err(|_| Error::BodyCutShort)?,
            None => return Ok(WholeBody { bytes: bytes.freeze(), _place: place }),
        };
        if bytes.len() + chunk.len() > max_bytes {
            return Err(Error::BodyTooLarge { max_bytes });
        }
        bytes.extend_from_slice(&chunk);
        if bytes.len() > JSON_BODY_MAX_BYTES && place.is_none() {
            let asked = Instant::now();
            place = Some(large_bodies.place().await?);
            began += asked.elapsed();
        }
    }
}
