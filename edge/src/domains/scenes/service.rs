//! Grimoire's scenes: ordering one, waiting for it, and the caller's stored ones.

use serde_json::json;
use shared::{
    api::{
        Page,
        jobs::{Job, JobKind},
        scenes::{CreateScene, Scene},
    },
    ids::{JobId, SceneId},
};

use crate::{
    caller::Caller,
    domains::jobs::{
        accept::{NewJob, accept_job},
        job_ports::JobPorts,
        wait::is_completed_within,
    },
    error::{Error, Result},
    ports::{NativeResponse, stores::SceneStore},
};

/// What became of an order within the time its caller waits.
#[derive(Debug, Clone, PartialEq)]
pub enum Ordered {
    Accepted(Job),
    Ready(Scene),
}

/// Where the picture of a scene is served to its owner. Rows keep the path in storage instead, which nobody
/// outside may read from.
pub fn image_url(base_url: &str, id: SceneId) -> String {
    format!("{base_url}/api/scenes/{id}/image")
}

fn shown(base_url: &str, scene: Scene) -> Scene {
    Scene { image_url: image_url(base_url, scene.id), ..scene }
}

/// Accepts the order for a scene.
pub async fn create_scene(
    ports: &JobPorts<'_>,
    caller: &Caller,
    id: JobId,
    order: &CreateScene,
) -> Result<Job> {
    let CreateScene { world, era, class, pose, decor } = order;
    let input = json!({
        "world": world, "era": era, "class": class, "pose": pose, "decor": decor,
    });
    let new = NewJob { id, kind: JobKind::Scene, pictures: 1, input, owner: None };
    accept_job(ports, caller, &new).await
}

/// Waits for an accepted job as long as its caller wants to, and answers with the scene if it came to be.
/// A job that failed or was cancelled meanwhile is an error, never an answer of success.
pub async fn wait_for_scene(
    ports: &JobPorts<'_>,
    scenes: &dyn SceneStore,
    caller: &Caller,
    accepted: Job,
    wait: Wait<'_>,
) -> Result<Ordered> {
    if !is_completed_within(ports, accepted.id, wait.timeout_ms).await? {
        return Ok(Ordered::Accepted(accepted));
    }
    let scene = find_scene(scenes, caller, SceneId(accepted.id.0), wait.base_url).await?;
    Ok(Ordered::Ready(scene))
}

/// How long a caller waits, and under which address they reach us.
#[derive(Debug, Clone, Copy)]
pub struct Wait<'a> {
    pub timeout_ms: u64,
    pub base_url: &'a str,
}

/// The caller's scenes, newest first.
pub async fn list_scenes(
    scenes: &dyn SceneStore,
    caller: &Caller,
    page: &PageOrder,
    base_url: &str,
) -> Result<Page<Scene>> {
    let page = scenes.list(&caller.token, page.limit, page.cursor.as_deref()).await?;
    let items = page.items.into_iter().map(|scene| shown(base_url, scene)).collect();
    Ok(Page { items, next_cursor: page.next_cursor })
}

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOrder {
    pub limit: u64,
    pub cursor: Option<String>,
}

/// One of the caller's scenes.
pub async fn find_scene(
    scenes: &dyn SceneStore,
    caller: &Caller,
    id: SceneId,
    base_url: &str,
) -> Result<Scene> {
    let scene = scenes.find(&caller.token, id).await?.ok_or(Error::NotFound)?;
    Ok(shown(base_url, scene))
}

/// Removes one of the caller's scenes with its picture.
pub async fn delete_scene(scenes: &dyn SceneStore, caller: &Caller, id: SceneId) -> Result<()> {
    match scenes.delete(&caller.token, id).await? {
        true => Ok(()),
        false => Err(Error::NotFound),
    }
}

/// The picture of one of the caller's scenes.
pub async fn show_picture(
    scenes: &dyn SceneStore,
    caller: &Caller,
    id: SceneId,
) -> Result<NativeResponse> {
    let scene = scenes.find(&caller.token, id).await?.ok_or(Error::NotFound)?;
    scenes.picture(&caller.token, &scene).await?.ok_or(Error::NotFound)
}
