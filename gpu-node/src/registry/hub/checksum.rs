//! What a file's ETag says of its content: the SHA-256 of a large file, the git object id of a small one.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Reads a file once and tells whether it is the one that was meant.
#[derive(Clone)]
pub(in crate::registry) struct Checksum {
    sha256: Sha256,
    /// Only where the ETag is a git object id.
    git: Option<Sha1>,
    etag: String,
    bytes: u64,
}

impl Checksum {
    /// For a file of that ETag and size.
    pub(in crate::registry) fn new(etag: &str, bytes: u64) -> Self {
        let git = is_hex(etag, 40).then(|| Sha1::new_with_prefix(format!("blob {bytes}\0")));
        Self { sha256: Sha256::new(), git, etag: etag.to_owned(), bytes }
    }

    pub(super) fn restart(&mut self) {
        *self = Self::new(&self.etag, self.bytes);
    }

    pub(in crate::registry) fn update(&mut self, bytes: &[u8]) {
        if let Some(git) = &mut self.git {
            git.update(bytes);
        }
        self.sha256.update(bytes);
    }

    /// Compares with the ETag and with the SHA-256 that somebody else told; gives what was found and what was meant.
    pub(in crate::registry) fn check(self, sha256: Option<&str>) -> Result<(), Mismatch> {
        let found = hex(&self.sha256.finalize());
        let told = sha256.or_else(|| is_hex(&self.etag, 64).then_some(&*self.etag));
        if let Some(told) = told
            && !found.eq_ignore_ascii_case(told)
        {
            return Err(Mismatch { kind: "SHA-256", found, expected: told.to_owned() });
        }
        match self.git.map(|git| hex(&git.finalize())) {
            Some(found) if !found.eq_ignore_ascii_case(&self.etag) => {
                Err(Mismatch { kind: "git object id", found, expected: self.etag })
            }
            _ => Ok(()),
        }
    }
}

/// Another content than the one that was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) struct Mismatch {
    pub(in crate::registry) kind: &'static str,
    pub(in crate::registry) found: String,
    pub(in crate::registry) expected: String,
}

/// The SHA-256 that an ETag stands for, if it does.
pub(super) fn sha256_of(etag: &str) -> Option<&str> {
    is_hex(etag, 64).then_some(etag)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    /// `printf abc | git hash-object --stdin`
    const ABC_IN_GIT: &str = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f";

    fn check(content: &str, etag: &str, sha256: Option<&str>) -> Result<(), Mismatch> {
        let mut checksum = Checksum::new(etag, content.len() as u64);
        checksum.update(b"something else");
        checksum.restart();
        content.as_bytes().chunks(2).for_each(|part| checksum.update(part));
        checksum.check(sha256)
    }

    #[test]
    fn an_etag_tells_a_file_from_another() {
        for etag in [ABC, ABC_IN_GIT] {
            assert_eq!(check("abc", etag, None), Ok(()));
            let mismatch = check("abd", etag, None).unwrap_err();
            assert_eq!(mismatch.expected, etag);
            assert_ne!(mismatch.found, etag);
        }
    }

    #[test]
    fn what_the_manifest_says_counts_whatever_the_etag_is() {
        assert_eq!(check("abc", "no-checksum", Some(&ABC.to_uppercase())), Ok(()));
        assert_eq!(check("abd", "no-checksum", Some(ABC)).unwrap_err().kind, "SHA-256");
        assert_eq!(check("abc", ABC_IN_GIT, Some(ABC)), Ok(()));
        assert_eq!(check("abd", "no-checksum", None), Ok(()));
    }
}
