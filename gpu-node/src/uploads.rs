//! Files that callers bring before they order: kept in memory for a while and within bounds, the oldest forgotten first.

use std::{
    sync::{Arc, Mutex},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use shared::ids::JobId;

use crate::{
    jobs::{Clock, Retention},
    scheduler::locked,
};

/// What a caller says of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadHead {
    pub name: String,
    pub content_type: String,
    /// The caller's own notes, given back as they came.
    pub metadata: Map<String, Value>,
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    /// Not to be guessed: an order that names it reads the file.
    pub id: JobId,
    pub head: UploadHead,
    pub content: Bytes,
    pub sha256: String,
    pub created_at: SystemTime,
    pub expires_at: SystemTime,
    kept_since: Instant,
}

/// The files of one node.
pub struct Uploads {
    /// The oldest first.
    kept: Mutex<Vec<Arc<Upload>>>,
    retention: Retention,
    clock: Arc<dyn Clock>,
}

impl Uploads {
    /// Nothing is kept yet.
    pub fn new(retention: Retention, clock: Arc<dyn Clock>) -> Self {
        Self { kept: Mutex::default(), retention, clock }
    }

    /// Keeps a file; older ones make room.
    pub fn keep(&self, head: UploadHead, content: Bytes) -> Arc<Upload> {
        let sha256 = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        let created_at = SystemTime::now();
        let upload = Arc::new(Upload {
            id: JobId(uuid::Uuid::new_v4()),
            head,
            content,
            sha256,
            created_at,
            expires_at: created_at + self.retention.max_age,
            kept_since: self.clock.now(),
        });
        let mut kept = locked(&self.kept);
        kept.push(upload.clone());
        self.forget_old(&mut kept);
        upload
    }

    /// The file of that id, if it is still kept.
    pub fn find(&self, id: JobId) -> Option<Arc<Upload>> {
        let mut kept = locked(&self.kept);
        self.forget_old(&mut kept);
        kept.iter().find(|upload| upload.id == id).cloned()
    }

    /// All of them, the newest first.
    pub fn list(&self) -> Vec<Arc<Upload>> {
        let mut kept = locked(&self.kept);
        self.forget_old(&mut kept);
        kept.iter().rev().cloned().collect()
    }

    /// Forgets a file; says whether it was there.
    pub fn remove(&self, id: JobId) -> bool {
        let mut kept = locked(&self.kept);
        self.forget_old(&mut kept);
        let before = kept.len();
        kept.retain(|upload| upload.id != id);
        kept.len() < before
    }

    /// Forgets what is too old.
    pub fn sweep(&self) {
        self.forget_old(&mut locked(&self.kept));
    }

    fn forget_old(&self, kept: &mut Vec<Arc<Upload>>) {
        let now = self.clock.now();
        kept.retain(|upload| now.duration_since(upload.kept_since) <= self.retention.max_age);
        let mut bytes: u64 = kept.iter().map(|upload| upload.content.len() as u64).sum();
        let mut count = kept.len();
        // The newest is kept even when it alone is larger.
        let forgotten = kept.iter().take_while(|upload| {
            let is_too_much =
                count > 1 && (count > self.retention.max_count || bytes > self.retention.max_bytes);
            count -= usize::from(is_too_much);
            bytes -= if is_too_much { upload.content.len() as u64 } else { 0 };
            is_too_much
        });
        let forgotten = forgotten.count();
        kept.drain(..forgotten);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Standing(Mutex<Instant>);

    impl Clock for Standing {
        fn now(&self) -> Instant {
            *self.0.lock().unwrap()
        }
    }

    fn uploads() -> (Uploads, Arc<Standing>) {
        let clock = Arc::new(Standing(Mutex::new(Instant::now())));
        let retention =
            Retention { max_age: Duration::from_secs(600), max_count: 3, max_bytes: 10 };
        (Uploads::new(retention, clock.clone()), clock)
    }

    fn keep(uploads: &Uploads, content: &'static str) -> JobId {
        let head = UploadHead {
            name: "a.png".to_owned(),
            content_type: "image/png".to_owned(),
            metadata: Map::new(),
        };
        uploads.keep(head, Bytes::from_static(content.as_bytes())).id
    }

    fn contents(uploads: &Uploads) -> Vec<String> {
        let text = |upload: &Arc<Upload>| String::from_utf8(upload.content.to_vec()).unwrap();
        uploads.list().iter().map(text).collect()
    }

    #[test]
    fn the_oldest_make_room_for_what_is_new() {
        let (uploads, _) = uploads();
        let first = keep(&uploads, "1");
        for content in ["2", "3", "4"] {
            keep(&uploads, content);
        }
        assert_eq!(contents(&uploads), ["4", "3", "2"], "three at most");
        assert_eq!(uploads.find(first), None);
        keep(&uploads, "56789abcd");
        assert_eq!(contents(&uploads), ["56789abcd", "4"], "ten bytes at most");
        keep(&uploads, "larger than all of them");
        assert_eq!(contents(&uploads), ["larger than all of them"]);
    }

    #[test]
    fn a_file_is_kept_for_its_time() {
        let (uploads, clock) = uploads();
        let id = keep(&uploads, "1");
        let kept = uploads.find(id).unwrap();
        assert_eq!(kept.expires_at, kept.created_at + Duration::from_secs(600));
        *clock.0.lock().unwrap() += Duration::from_secs(600);
        assert!(uploads.find(id).is_some());
        *clock.0.lock().unwrap() += Duration::from_secs(1);
        uploads.sweep();
        assert!(locked(&uploads.kept).is_empty());
        assert!(!uploads.remove(id));
    }

    #[test]
    fn a_file_is_forgotten_when_told_to() {
        let (uploads, _) = uploads();
        let [first, second] = ["1", "2"].map(|content| keep(&uploads, content));
        assert!(uploads.remove(first) && !uploads.remove(first));
        assert_eq!(uploads.find(second).unwrap().sha256.len(), 64);
        assert_eq!(contents(&uploads), ["2"]);
    }
}
