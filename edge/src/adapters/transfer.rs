//! An artifact on its way from a node to storage: handed from stream to stream by the runtime, and hashed by it.

use shared::node::jobs::Artifact;
use worker::{
    crypto::{DigestStream, DigestStreamAlgorithm},
    js_sys,
    wasm_bindgen::JsCast,
    wasm_bindgen_futures::JsFuture,
};

use super::{
    http_client::{Answer, Call, within},
    node_client::unreachable,
};
use crate::ports::fleet::StoreFailure;

/// Once everything was passed on, only the last block is left to hash.
const DIGEST_TIMEOUT_MS: u32 = 10_000;

/// Stores what `source` brings, and makes sure that it is what the node announced.
pub async fn transfer(
    source: Answer,
    upload: Call,
    artifact: &Artifact,
) -> Result<(), StoreFailure> {
    if let Some(bytes) = source.header("content-length")
        && bytes != artifact.bytes.to_string()
    {
        source.discard();
        return Err(differs(format!("{bytes} bytes instead of {}", artifact.bytes)));
    }
    let body = source.response.body().ok_or_else(|| differs("no bytes"))?;
    let branches = body.tee();
    let (Ok(stored), Ok(hashed)) =
        (branches.get(0).dyn_into(), branches.get(1).dyn_into::<web_sys::ReadableStream>())
    else {
        return Err(differs("a body that can't be read twice"));
    };
    let stored: web_sys::ReadableStream = stored;
    let digest = DigestStream::new(DigestStreamAlgorithm::Sha256);
    // Its failure shows in the digest, which then never comes.
    let piped = hashed.pipe_to(digest.raw());
    let settled = JsFuture::from(piped);

    let answer = upload.stream(&stored).send().await.map_err(|e| storage(e.0))?;
    let text = answer.text().await.map_err(|e| storage(e.0))?;
    if !answer.is_success() {
        let cause: String = text.chars().take(200).collect();
        return Err(storage(format!("status {}: {cause}", answer.status())));
    }
    let hash = within(DIGEST_TIMEOUT_MS, async {
        settled.await.ok()?;
        digest.digest().await.ok()
    });
    let hash = hash.await.flatten().ok_or_else(|| differs("a stream that broke off"))?;
    match hex(&hash) == artifact.sha256 {
        true => Ok(()),
        false => Err(differs("other bytes than were announced")),
    }
}

fn storage(cause: String) -> StoreFailure {
    StoreFailure::Storage { cause }
}

fn differs(how: impl Into<String>) -> StoreFailure {
    StoreFailure::Node(unreachable(format!("the artifact: {}", how.into())))
}

fn hex(bytes: &js_sys::Uint8Array) -> String {
    bytes.to_vec().iter().map(|byte| format!("{byte:02x}")).collect()
}
