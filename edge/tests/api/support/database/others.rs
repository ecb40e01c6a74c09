//! Scenes, settings and the audit log.

use async_trait::async_trait;
use edge::{
    caller::AccessToken,
    error::{Error, Result},
    ports::{
        NativeResponse,
        delivery::AuditEntry,
        stores::{AdminStore, SceneStore},
        system::NativeBody,
    },
};
use serde_json::Value;
use shared::{
    api::{Page, scenes::Scene},
    ids::SceneId,
};

use super::FakeDatabase;

#[async_trait]
impl SceneStore for FakeDatabase {
    async fn list(
        &self,
        token: &AccessToken,
        limit: u64,
        cursor: Option<&str>,
    ) -> Result<Page<Scene>> {
        self.call("scenes.list", |tables, _| {
            let (user, _) = tables.caller(token)?;
            let skipped: usize = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
            let own = tables.scenes.iter().rev().filter(|scene| scene.user_id == user);
            let rest: Vec<Scene> = own.skip(skipped).cloned().collect();
            let has_more = rest.len() as u64 > limit;
            let next = skipped + limit as usize;
            Ok(Page {
                items: rest.into_iter().take(limit as usize).collect(),
                next_cursor: has_more.then(|| next.to_string()),
            })
        })
    }

    async fn find(&self, token: &AccessToken, id: SceneId) -> Result<Option<Scene>> {
        self.call("scenes.find", |tables, _| {
            let (user, _) = tables.caller(token)?;
            let own = |scene: &&Scene| scene.id == id && scene.user_id == user;
            Ok(tables.scenes.iter().find(own).cloned())
        })
    }

    async fn delete(&self, token: &AccessToken, id: SceneId) -> Result<bool> {
        self.call("scenes.delete", |tables, _| {
            let (user, _) = tables.caller(token)?;
            let own = |scene: &Scene| scene.id == id && scene.user_id == user;
            let Some(position) = tables.scenes.iter().position(own) else { return Ok(false) };
            let scene = tables.scenes.remove(position);
            tables.files.remove(&scene.image_url);
            Ok(true)
        })
    }

    async fn picture(&self, token: &AccessToken, scene: &Scene) -> Result<Option<NativeResponse>> {
        self.call("scenes.picture", |tables, _| {
            let (user, _) = tables.caller(token)?;
            let is_own = scene.image_url.starts_with(&format!("scenes/{user}/"));
            let file = tables.files.get(&scene.image_url).filter(|_| is_own);
            Ok(file.map(|content| NativeResponse {
                status: 200,
                headers: vec![("content-type".to_owned(), "image/png".to_owned())],
                body: NativeBody::Bytes(content.clone().into_bytes()),
            }))
        })
    }

    async fn stray_files(&self, limit: u32) -> Result<Vec<String>> {
        self.call("scenes.stray_files", |tables, _| {
            let is_shown = |path: &String| tables.scenes.iter().any(|s| s.image_url == *path);
            let is_running = |path: &String| {
                let open = tables.jobs.values().filter(|row| !row.job.status.is_end());
                open.map(|row| row.job.id.to_string()).any(|id| path.contains(&id))
            };
            let stray = tables.files.keys().filter(|path| !is_shown(path) && !is_running(path));
            Ok(stray.take(limit as usize).cloned().collect())
        })
    }

    async fn remove_file(&self, path: &str) -> Result<()> {
        self.call("scenes.remove_file", |tables, _| {
            tables.files.remove(path);
            Ok(())
        })
    }
}

#[async_trait]
impl AdminStore for FakeDatabase {
    async fn setting(&self, token: &AccessToken, key: &str) -> Result<Option<Value>> {
        self.call("admin.setting", |tables, _| {
            tables.admin(token)?;
            Ok(tables.settings.get(key).cloned())
        })
    }

    async fn set_setting(&self, token: &AccessToken, key: &str, value: &Value) -> Result<()> {
        self.call("admin.set_setting", |tables, _| {
            tables.admin(token)?;
            tables.settings.insert(key.to_owned(), value.clone());
            Ok(())
        })
    }

    async fn is_admin(&self, token: &AccessToken) -> Result<bool> {
        self.call("admin.is_admin", |tables, _| Ok(tables.caller(token)?.1))
    }

    async fn add_audit(&self, entries: &[AuditEntry]) -> Result<()> {
        self.call("admin.add_audit", |tables, _| {
            if entries.iter().any(|entry| tables.refused_audit.contains(&entry.id)) {
                return Err(Error::Malformed { detail: "a bad entry".to_owned() });
            }
            for entry in entries {
                if !tables.audit.iter().any(|known| known.id == entry.id) {
                    tables.audit.push(entry.clone());
                }
            }
            Ok(())
        })
    }

    async fn ping(&self) -> Result<()> {
        self.call("admin.ping", |_, _| Ok(()))
    }
}
