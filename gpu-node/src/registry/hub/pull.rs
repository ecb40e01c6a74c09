//! A model's files from its hub: those that are missing, a few at a time.

use std::{
    fs,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    checksum::sha256_of,
    client::{FileFacts, HubClient, RemoteFile},
    error::HubError,
    settings::HubSettings,
    transfer::{Patience, Transfer},
};
use crate::registry::{
    manifest::{Manifest, ModelFile, Source},
    weights::{is_as_large_as_told, is_of_words},
};

/// Files that come at the same time: one connection seldom fills the line.
const AT_ONCE: usize = 4;

/// Hears how a pull goes, on several threads, and may end it.
pub trait PullObserver: Sync {
    /// So many bytes more will be in the cache at its end.
    fn expects(&self, _bytes: u64) {}
    /// So many of them are there.
    fn advanced(&self, _bytes: u64) {}
    /// So many were not what they should be, and come again.
    fn took_back(&self, _bytes: u64) {}
    /// A transfer broke and is taken up again.
    fn retries(&self, _path: &str, _why: &HubError) {}
    /// Another process is pulling that file.
    fn waits(&self, _path: &str) {}
    /// Whether anybody still needs the model.
    fn is_wanted(&self) -> bool {
        true
    }
}

/// Has all of a model's files in the cache; gives how many came.
pub fn pull_model(
    manifest: &Manifest,
    settings: &HubSettings,
    observer: &dyn PullObserver,
) -> Result<usize, HubError> {
    pull(manifest, settings, observer, &|file, snapshot| !is_as_large_as_told(snapshot, file))
}

/// Asks the hub for the size of every file of a model that is in the cache, and has those come again that have another.
pub fn mend_model(
    manifest: &Manifest,
    settings: &HubSettings,
    observer: &dyn PullObserver,
) -> Result<(), HubError> {
    pull(manifest, settings, observer, &|_, _| true).map(drop)
}

/// Has those files in the cache that say what the model reads and writes, without its weights.
pub fn pull_words(
    manifest: &Manifest,
    settings: &HubSettings,
    observer: &dyn PullObserver,
) -> Result<usize, HubError> {
    let is_of_words = is_of_words(manifest);
    let is_missing = |file: &ModelFile, snapshot: &Path| {
        is_of_words(file) && !is_as_large_as_told(snapshot, file)
    };
    pull(manifest, settings, observer, &is_missing)
}

fn pull(
    manifest: &Manifest,
    settings: &HubSettings,
    observer: &dyn PullObserver,
    is_wanting: &dyn Fn(&ModelFile, &Path) -> bool,
) -> Result<usize, HubError> {
    let Source::Hub { repository, revision } = &manifest.source else {
        return Err(HubError::NotFromHub(manifest.name.clone()));
    };
    let snapshot = settings.cache.snapshot(repository, revision);
    let missing: Vec<&ModelFile> =
        manifest.files.iter().filter(|file| is_wanting(file, &snapshot)).collect();
    let Some(first) = missing.first() else { return Ok(0) };
    if settings.is_offline {
        let (repository, path) = (repository.clone(), first.path.clone());
        return Err(HubError::Offline { repository, path });
    }
    let ended = AtomicBool::new(false);
    let pull = Pull {
        client: HubClient::new(settings)?,
        settings,
        repository,
        revision,
        observer: &Linked { observer, ended: &ended },
    };
    pull.fetch_all(&missing, &ended)?;
    Ok(missing.len())
}

struct Pull<'a> {
    client: HubClient,
    settings: &'a HubSettings,
    repository: &'a str,
    revision: &'a str,
    observer: &'a dyn PullObserver,
}

impl Pull<'_> {
    /// The first error ends the others; what they have stays for the next pull.
    fn fetch_all(&self, files: &[&ModelFile], ended: &AtomicBool) -> Result<(), HubError> {
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(files.len()) {
                scope.spawn(|| {
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if ended.load(Ordering::Relaxed) {
                            return;
                        }
                        if let Err(error) = self.fetch(file) {
                            ended.store(true, Ordering::Relaxed);
                            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                            failed.get_or_insert(error);
                            return;
                        }
                    }
                });
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn fetch(&self, file: &ModelFile) -> Result<(), HubError> {
        let (repository, revision) = (self.repository, self.revision);
        let remote = RemoteFile { repository, revision, path: &file.path };
        let mut patience = Patience::new(self.observer, &file.path);
        let facts = loop {
            match self.client.facts(remote) {
                Ok(facts) => break facts,
                Err(error) => patience.bear(error, false)?,
            }
        };
        check_listing(file, &facts)?;
        let cache = self.settings.cache.repository(repository, revision);
        // A link or, where there are none, the file itself.
        let found = fs::metadata(cache.pointer(&file.path));
        if found.is_ok_and(|found| found.len() == facts.bytes) {
            return Ok(());
        }
        self.observer.expects(facts.bytes);
        let transfer = Transfer {
            client: &self.client,
            cache: &cache,
            file: remote,
            facts: &facts,
            sha256: file.sha256.as_deref(),
            observer: self.observer,
        };
        transfer.run()
    }
}

/// What the hub has must be what the manifest means, before a byte of it is fetched.
fn check_listing(file: &ModelFile, facts: &FileFacts) -> Result<(), HubError> {
    let differs = |kind, found: &str, expected: &str| HubError::NotAsListed {
        path: file.path.clone(),
        kind,
        found: found.to_owned(),
        expected: expected.to_owned(),
    };
    if let Some(bytes) = file.bytes.filter(|bytes| *bytes != facts.bytes) {
        return Err(differs("size", &facts.bytes.to_string(), &bytes.to_string()));
    }
    match (sha256_of(&facts.etag), &file.sha256) {
        (Some(found), Some(expected)) if !found.eq_ignore_ascii_case(expected) => {
            Err(differs("SHA-256", found, expected))
        }
        _ => Ok(()),
    }
}

/// One file's failure ends the other files' transfers too.
struct Linked<'a> {
    observer: &'a dyn PullObserver,
    ended: &'a AtomicBool,
}

impl PullObserver for Linked<'_> {
    fn expects(&self, bytes: u64) {
        self.observer.expects(bytes);
    }
    fn advanced(&self, bytes: u64) {
        self.observer.advanced(bytes);
    }
    fn took_back(&self, bytes: u64) {
        self.observer.took_back(bytes);
    }
    fn retries(&self, path: &str, why: &HubError) {
        self.observer.retries(path, why);
    }
    fn waits(&self, path: &str) {
        self.observer.waits(path);
    }
    fn is_wanted(&self) -> bool {
        !self.ended.load(Ordering::Relaxed) && self.observer.is_wanted()
    }
}
