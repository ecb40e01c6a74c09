//! One file from the hub into the cache: from where an earlier transfer broke, and only as what it should be.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{
    cache::RepositoryCache,
    checksum::Checksum,
    client::{FileFacts, HubClient, RemoteFile},
    error::HubError,
    pull::PullObserver,
};

/// Requests in a row that bring nothing before a pull gives up.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How long a stopped pull may go on waiting.
const NAP: Duration = Duration::from_millis(50);
const BUFFER_BYTES: usize = 1 << 18;

/// What a pull bears of a hub that fails for a moment.
pub(super) struct Patience<'a> {
    observer: &'a dyn PullObserver,
    path: &'a str,
    attempts: u32,
}

impl<'a> Patience<'a> {
    pub(super) fn new(observer: &'a dyn PullObserver, path: &'a str) -> Self {
        Self { observer, path, attempts: 0 }
    }

    /// Waits a moment before the next request, or gives the error back when none would help.
    pub(super) fn bear(&mut self, error: HubError, has_advanced: bool) -> Result<(), HubError> {
        if !error.is_passing() {
            return Err(error);
        }
        self.attempts = if has_advanced { 1 } else { self.attempts + 1 };
        if self.attempts >= ATTEMPTS {
            return Err(HubError::GaveUp { attempts: self.attempts, error: Box::new(error) });
        }
        self.observer.retries(self.path, &error);
        let mut left = error.wait().unwrap_or(FIRST_PAUSE * 2_u32.pow(self.attempts - 1));
        while !left.is_zero() {
            if !self.observer.is_wanted() {
                return Err(HubError::Stopped);
            }
            let nap = left.min(NAP);
            thread::sleep(nap);
            left -= nap;
        }
        Ok(())
    }
}

/// A file on its way.
pub(super) struct Transfer<'a> {
    pub(super) client: &'a HubClient,
    pub(super) cache: &'a RepositoryCache,
    pub(super) file: RemoteFile<'a>,
    pub(super) facts: &'a FileFacts,
    /// What the manifest says the content is.
    pub(super) sha256: Option<&'a str>,
    pub(super) observer: &'a dyn PullObserver,
}

impl Transfer<'_> {
    /// Has the file in the cache, whole and under its path; one process at a time.
    pub(super) fn run(&self) -> Result<(), HubError> {
        let (path, etag) = (self.file.path, &self.facts.etag);
        let _lock = self.lock()?;
        self.have_blob()?;
        let linked = self.cache.link(path, etag);
        linked.map_err(|source| HubError::disk(self.cache.pointer(path), source))
    }

    /// Waits while another process pulls the file, as long as anybody wants it.
    fn lock(&self) -> Result<File, HubError> {
        let etag = &self.facts.etag;
        let disk = |source| HubError::disk(self.cache.incomplete(etag), source);
        let mut has_waited = false;
        loop {
            if let Some(lock) = self.cache.try_lock(etag).map_err(disk)? {
                return Ok(lock);
            }
            if !std::mem::replace(&mut has_waited, true) {
                self.observer.waits(self.file.path);
            }
            if !self.observer.is_wanted() {
                return Err(HubError::Stopped);
            }
            thread::sleep(NAP);
        }
    }

    fn have_blob(&self) -> Result<(), HubError> {
        let (blob, etag) = (self.cache.blob(&self.facts.etag), &self.facts.etag);
        match fs::metadata(&blob) {
            Ok(found) if found.len() == self.facts.bytes => {
                self.observer.advanced(self.facts.bytes);
                return Ok(());
            }
            // Cut off, or grown: not what was checked when it came.
            Ok(_) => {
                fs::remove_file(&blob).map_err(|source| HubError::disk(blob.clone(), source))?
            }
            Err(_) => {}
        }
        let path = self.cache.incomplete(etag);
        loop {
            let mut part = Part::open(&path, self.facts)?;
            let was_begun = part.length > 0;
            self.observer.advanced(part.length);
            self.complete(&mut part)?;
            part.file.sync_all().map_err(|source| HubError::disk(path.clone(), source))?;
            let Err(mismatch) = part.checksum.check(self.sha256) else { break };
            fs::remove_file(&path).map_err(|source| HubError::disk(path.clone(), source))?;
            // The beginning may have been somebody else's: only a whole transfer says what the hub has.
            if !was_begun {
                let mismatch = Box::new(mismatch.into());
                return Err(HubError::WrongContent { path: self.file.path.to_owned(), mismatch });
            }
            self.observer.took_back(self.facts.bytes);
        }
        fs::rename(&path, &blob).map_err(|source| HubError::disk(blob, source))
    }

    /// Asks again, from where the last answer ended, as long as that helps.
    fn complete(&self, part: &mut Part) -> Result<(), HubError> {
        let mut patience = Patience::new(self.observer, self.file.path);
        while part.length < self.facts.bytes {
            let before = part.length;
            if let Err(error) = self.receive(part) {
                patience.bear(error, part.length > before)?;
            }
        }
        Ok(())
    }

    fn receive(&self, part: &mut Part) -> Result<(), HubError> {
        let bytes = self.facts.bytes;
        let mut body = match self.client.open(self.file, part.length) {
            // What is here is no beginning of what is there.
            Err(HubError::Refused { status: 416, .. }) if part.length > 0 => {
                self.observer.took_back(part.length);
                return part.restart();
            }
            opened => opened?,
        };
        if body.starts_at < part.length {
            self.observer.took_back(part.length);
            part.restart()?;
        }
        let mut buffer = vec![0; BUFFER_BYTES];
        while part.length < bytes {
            if !self.observer.is_wanted() {
                return Err(HubError::Stopped);
            }
            let count = match body.response.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(&body.response, &error.to_string())),
                Ok(0) => return Err(self.broken(&body.response, "it ended too early")),
                Ok(count) => count,
            };
            if count as u64 > bytes - part.length {
                let reason = format!("it is longer than the {bytes} bytes it should have");
                let path = self.file.path.to_owned();
                return Err(HubError::Unexpected { path, reason });
            }
            part.append(&buffer[..count], bytes)?;
            self.observer.advanced(count as u64);
        }
        Ok(())
    }

    fn broken(&self, response: &reqwest::blocking::Response, reason: &str) -> HubError {
        HubError::Broken {
            host: super::client::host(response.url()),
            path: self.file.path.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// The beginning of a file, as far as it has come.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    checksum: Checksum,
}

impl Part {
    /// What an earlier transfer left is read again: nobody vouches for it.
    fn open(path: &Path, facts: &FileFacts) -> Result<Self, HubError> {
        let disk = |source| HubError::disk(path.to_owned(), source);
        let checksum = Checksum::new(&facts.etag, facts.bytes);
        let opened = File::options().create(true).append(true).open(path).map_err(disk)?;
        let length = opened.metadata().map_err(disk)?.len();
        let mut part = Self { path: path.to_owned(), file: opened, length, checksum };
        if length > facts.bytes {
            part.restart()?;
        } else if length > 0 {
            let mut begun = File::open(path).map_err(disk)?;
            let mut buffer = vec![0; BUFFER_BYTES];
            loop {
                let count = begun.read(&mut buffer).map_err(disk)?;
                if count == 0 {
                    break;
                }
                part.checksum.update(&buffer[..count]);
            }
        }
        Ok(part)
    }

    fn restart(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).map_err(|source| HubError::disk(self.path.clone(), source))?;
        self.length = 0;
        self.checksum.restart();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8], whole: u64) -> Result<(), HubError> {
        self.file
            .write_all(bytes)
            .map_err(|source| HubError::write(self.path.clone(), self.length, whole, source))?;
        self.length += bytes.len() as u64;
        self.checksum.update(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{
        super::{cache::HubCache, settings::HubSettings},
        *,
    };

    /// Wants the file until it hears that somebody else is at it.
    #[derive(Default)]
    struct Impatient(AtomicBool);

    impl PullObserver for Impatient {
        fn waits(&self, _: &str) {
            self.0.store(true, Ordering::SeqCst);
        }

        fn is_wanted(&self) -> bool {
            !self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn nobody_waits_for_another_process_once_the_file_is_not_wanted() {
        let root = tempfile::tempdir().unwrap();
        let settings = HubSettings {
            endpoint: "http://127.0.0.1:9".parse().unwrap(),
            token: None,
            cache: HubCache::new(root.path().to_owned()),
            is_offline: false,
        };
        let cache = settings.cache.repository("acme/fish", "c0ffee");
        let held = cache.try_lock("etag").unwrap().unwrap();
        let transfer = Transfer {
            client: &HubClient::new(&settings).unwrap(),
            cache: &cache,
            file: RemoteFile { repository: "acme/fish", revision: "c0ffee", path: "a.bin" },
            facts: &FileFacts { etag: "etag".to_owned(), bytes: 5 },
            sha256: None,
            observer: &Impatient::default(),
        };
        assert!(matches!(transfer.run(), Err(HubError::Stopped)));
        drop(held);
    }
}
