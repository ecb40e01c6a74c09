//! `Idempotency-Key`: a creating request that is sent again gets its first answer, and makes nothing a second time.

use std::future::Future;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use shared::{
    errors::ErrorBody,
    ids::JobId,
    limits::{IDEMPOTENCY_KEY_MAX_CHARS, JSON_BODY_MAX_BYTES},
    validate::FromBody,
};

use super::{
    extract::read_json,
    respond::{Problem, status},
};
use crate::{
    caller::Caller,
    error::{Error, Result},
    ports::gates::{KeyState, StoredAnswer},
    state::AppState,
};

/// How long a repeat waits for the first request's answer before it is told 409.
const PATIENCE_MS: u64 = 10_000;

/// Between two looks at the key: short for a double click, cheap for a long run.
const FIRST_PAUSE_MS: u64 = 50;
const LONGEST_PAUSE_MS: u64 = 800;

/// A checked JSON body together with the key it was sent under, if any.
pub struct IdempotentJson<T> {
    order: T,
    key: Option<Key>,
}

struct Key {
    name: String,
    /// SHA-256 of method, path and body.
    fingerprint: String,
}

impl<S: Sync, T: FromBody> FromRequest<S> for IdempotentJson<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let name = key_name(request.headers())?;
        let digest = name.as_ref().map(|_| {
            Sha256::new_with_prefix(request.method().as_str())
                .chain_update(b"\n")
                .chain_update(request.uri().path())
                .chain_update(b"\n")
        });
        let (order, body): (T, Bytes) = read_json(request).await?;
        let key = name.zip(digest).map(|(name, digest)| Key {
            name,
            fingerprint: hex(&digest.chain_update(&body).finalize()),
        });
        Ok(Self { order, key })
    }
}

fn key_name(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    // The draft's form is a quoted string; most clients send it bare.
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let is_sane = (1..=IDEMPOTENCY_KEY_MAX_CHARS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_sane {
        let detail = format!(
            "Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_MAX_CHARS} visible ASCII characters."
        );
        return Err(Error::Malformed { detail });
    }
    Ok(Some(text.to_owned()))
}

impl<T> IdempotentJson<T> {
    /// Runs `create` with the job's id, unless this key was answered already: then its answer is given again.
    pub async fn answer_once<F, R>(
        self,
        state: &AppState,
        caller: &Caller,
        create: impl FnOnce(JobId, T) -> F,
    ) -> Result<Response>
    where
        F: Future<Output = Result<R>>,
        R: IntoResponse,
    {
        let job = JobId::from_random(state.random.bytes());
        let Some(key) = self.key else {
            return Ok(create(job, self.order).await?.into_response());
        };
        match first_or_answered(state, caller, &key, job).await? {
            KeyState::Fresh { job_id } => {
                let answer = create(job_id, self.order).await.map(R::into_response);
                keep(state, caller, &key, answer).await
            }
            KeyState::Answered { answer } => Ok(replay(answer)),
            KeyState::Mismatch => Err(Error::KeyReused),
            KeyState::InProgress { .. } => Err(Error::Conflict {
                detail: "The first request with this Idempotency-Key is still under way."
                    .to_owned(),
            }),
        }
    }
}

impl<T> IdempotentJson<T> {
    /// Like [`Self::answer_once`] for an answer that is a stream: what is kept is not the answer but the id of its run,
    /// under which `open` finds the same events again, from their beginning or while they come.
    pub async fn open_once<F>(
        self,
        state: &AppState,
        caller: &Caller,
        open: impl FnOnce(JobId, T) -> F,
    ) -> Result<Response>
    where
        F: Future<Output = Result<Response>>,
    {
        let run = JobId::from_random(state.random.bytes());
        let Some(key) = self.key else { return open(run, self.order).await };
        let (user, account) = (caller.user_id, state.account.as_ref());
        let known = account.begin_key(user, &key.name, &key.fingerprint, run).await?;
        let (run, is_replayed) = match known {
            KeyState::Fresh { job_id } => (job_id, false),
            KeyState::InProgress { job_id } => (job_id, true),
            KeyState::Answered { answer } => (answer.body.parse().unwrap_or(run), true),
            KeyState::Mismatch => return Err(Error::KeyReused),
        };
        let mut opened = open(run, self.order).await;
        let kept = opened.as_ref().ok().map(|response| StoredAnswer {
            status: response.status().as_u16(),
            headers: Vec::new(),
            body: run.to_string(),
        });
        if let Err(error) = account.finish_key(user, &key.name, kept).await {
            tracing::warn!(%error, "a run was not kept for its idempotency key");
        }
        if let Ok(response) = &mut opened
            && is_replayed
        {
            let headers = response.headers_mut();
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        opened
    }
}

async fn first_or_answered(
    state: &AppState,
    caller: &Caller,
    key: &Key,
    job: JobId,
) -> Result<KeyState> {
    let (mut waited_ms, mut pause_ms) = (0, FIRST_PAUSE_MS);
    loop {
        let found =
            state.account.begin_key(caller.user_id, &key.name, &key.fingerprint, job).await?;
        let is_waiting = matches!(found, KeyState::InProgress { .. });
        if !is_waiting || waited_ms >= PATIENCE_MS {
            return Ok(found);
        }
        state.clock.sleep_ms(pause_ms).await;
        waited_ms += pause_ms;
        pause_ms = (pause_ms * 2).min(LONGEST_PAUSE_MS);
    }
}

/// Keeps the answer for the key's next bearers; one that may be different next time frees the key instead.
async fn keep(
    state: &AppState,
    caller: &Caller,
    key: &Key,
    answer: Result<Response>,
) -> Result<Response> {
    let (answer, stored) = match answer {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let bytes = to_bytes(body, JSON_BODY_MAX_BYTES).await.map_err(Error::internal)?;
            let stored = StoredAnswer {
                status: parts.status.as_u16(),
                headers: plain_headers(&parts.headers),
                body: String::from_utf8(bytes.to_vec()).map_err(Error::internal)?,
            };
            (Ok(Response::from_parts(parts, Body::from(bytes))), stored)
        }
        Err(error) => {
            let body = error.body();
            let text = serde_json::to_string(&body).map_err(Error::internal)?;
            let stored = StoredAnswer { status: body.status, headers: Vec::new(), body: text };
            (Err(error), stored)
        }
    };
    let may_differ = stored.status >= 500 || stored.status == 429;
    let stored = if may_differ { None } else { Some(stored) };
    if let Err(error) = state.account.finish_key(caller.user_id, &key.name, stored).await {
        // The answer itself is good, and the job's id is kept: a repeat makes the same job.
        tracing::warn!(%error, "an answer was not kept for its idempotency key");
    }
    answer
}

fn plain_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let pairs = headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH);
    pairs
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

fn replay(answer: StoredAnswer) -> Response {
    let mut response = status(answer.status).into_response();
    match serde_json::from_str::<ErrorBody>(&answer.body) {
        Ok(body) if answer.status >= 400 => {
            response.extensions_mut().insert(Problem { body, error: None });
        }
        _ => *response.body_mut() = Body::from(answer.body),
    }
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
