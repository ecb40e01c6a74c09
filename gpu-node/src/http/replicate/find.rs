//! What an id or an address means here: runs, uploads, and the bytes that either holds.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    dialects::ids::parse_id,
    error::{Error, Result},
    jobs::Run,
    state::AppState,
    uploads::Upload,
};

/// The run of that prediction, by any spelling of its id.
pub(super) fn find_run(state: &AppState, id: &str) -> Result<Arc<Run>> {
    let id = parse_id(id).ok_or(Error::NotFound("prediction"))?;
    state.jobs.find_run(id).map_err(|_| Error::NotFound("prediction"))
}

/// A wrong key and an unknown id are the same to a stranger.
pub(super) fn find_by_key(state: &AppState, id: &str, key: &str) -> Result<Arc<Run>> {
    let run = find_run(state, id).map_err(|_| Error::NotFound("file"))?;
    if shared::tokens::is_allowed(key, &[format!("{:032x}", run.key)]) {
        Ok(run)
    } else {
        Err(Error::NotFound("file"))
    }
}

/// The upload of that id.
pub(super) fn find_upload(state: &AppState, id: &str) -> Result<Arc<Upload>> {
    let upload = parse_id(id).and_then(|id| state.uploads.find(id));
    upload.ok_or(Error::NotFound("file"))
}

/// The number in a result's name, such as `0.png`.
pub(super) fn index_of(name: &str) -> Result<u32> {
    let index = name.split('.').next().and_then(|index| index.parse().ok());
    index.ok_or(Error::NotFound("file"))
}

/// What an address below `/v1/files` leads to, if this node holds it: an upload, or a result with its key. Which host
/// the address names does not matter, for nobody guesses the rest.
pub fn held_file(state: &AppState, url: &str) -> Option<Bytes> {
    let (_, path) = url.split_once("://")?;
    let path = &path[path.find('/')?..];
    let steps: Vec<&str> = path.strip_prefix("/v1/files/")?.split('/').collect();
    match steps[..] {
        [id] => find_upload(state, id).ok().map(|upload| upload.content.clone()),
        [id, key, name] => {
            let run = find_by_key(state, id, key).ok()?;
            run.read_artifact(index_of(name).ok()?).map(|stored| stored.bytes)
        }
        _ => None,
    }
}
