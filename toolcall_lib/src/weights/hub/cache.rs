//! Places in the cache that all tools of the hub share:
//! `models--owner--name/{blobs,refs,snapshots}`, and the same for data sets.

use super::{HubId, Kind};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longest name of a file in `blobs`.
const LONGEST_NAME: usize = 128;
/// Pause between two checks of a lock that somebody else holds.
const PAUSE: Duration = Duration::from_millis(100);

/// The folder of one repository.
pub(super) struct RepoCache {
    folder: PathBuf,
    locks: PathBuf,
}

impl RepoCache {
    pub fn new(cache: &Path, kind: Kind, id: &HubId) -> Self {
        let name = format!("{}--{}", kind.plural(), id.repo.replace('/', "--"));
        Self {
            folder: cache.join(&name),
            locks: cache.join(".locks").join(name),
        }
    }

    /// The files of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The commit that a branch or a tag pointed to when it was downloaded.
    pub fn commit(&self, revision: &str) -> Option<String> {
        let commit = fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        let commit = commit.trim();
        is_commit(commit).then(|| commit.to_string())
    }

    /// Records the commit that a branch or a tag points to.
    pub fn set_commit(&self, revision: &str, commit: &str) -> io::Result<()> {
        let place = self.folder.join("refs").join(revision);
        fs::create_dir_all(place.parent().unwrap_or(&self.folder))?;
        fs::write(place, commit)
    }

    /// The names of all files of a commit, as the hub has listed them.
    pub fn names(&self, commit: &str) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.listing(commit)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Records the names of all files of a commit.
    pub fn set_names(&self, commit: &str, names: &[String]) -> io::Result<()> {
        let place = self.listing(commit);
        fs::create_dir_all(place.parent().unwrap_or(&self.folder))?;
        fs::write(place, serde_json::to_string(names)?)
    }

    fn listing(&self, commit: &str) -> PathBuf {
        self.folder.join("listings").join(format!("{commit}.json"))
    }

    /// The content of a file, by the name that the hub gives it.
    pub fn blob(&self, name: &str) -> io::Result<PathBuf> {
        let blobs = self.folder.join("blobs");
        fs::create_dir_all(&blobs)?;
        Ok(blobs.join(name))
    }

    /// Links a file of a commit to its content.
    pub fn link(&self, commit: &str, file: &str, blob: &str) -> io::Result<()> {
        let snapshot = self.snapshot(commit);
        let place = snapshot.join(file);
        fs::create_dir_all(place.parent().unwrap_or(&snapshot))?;
        match fs::remove_file(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        #[cfg(unix)]
        let made = {
            let up = "../".repeat(2 + file.matches('/').count());
            std::os::unix::fs::symlink(format!("{up}blobs/{blob}"), &place)
        };
        #[cfg(not(unix))]
        let made = fs::hard_link(self.folder.join("blobs").join(blob), &place);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()), // another process was faster
            other => other,
        }
    }

    /// Keeps other processes from the content `blob` while the lock lives; waits for one that has
    /// it, up to `patience`.
    pub fn lock(&self, blob: &str, patience: Duration) -> io::Result<Option<File>> {
        fs::create_dir_all(&self.locks)?;
        let file = File::create(self.locks.join(format!("{blob}.lock")))?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if started.elapsed() < patience => sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "another process has been downloading it for too long",
                    ));
                }
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(None);
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

/// Returns true for the hash of a commit, 40 hexadecimal digits. It becomes the name of a folder,
/// so nothing else is allowed.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// An `ETag` as a file name, if it can be one: it stays within its folder for any answer of the
/// hub.
pub(super) fn blob_name(etag: &str) -> Option<String> {
    let name = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = (1..=LONGEST_NAME).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(known);
    fits.then(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stands_for_its_content_in_a_folder_of_its_own_too() {
        let folder = tempfile::tempdir().unwrap();
        let cache = RepoCache::new(folder.path(), Kind::Model, &HubId::parse("owner/name").unwrap());
        fs::write(cache.blob("hash").unwrap(), "content").unwrap();
        for file in ["config.json", "additional_chat_templates/tool_use.jinja"] {
            cache.link("commit", file, "hash").unwrap();
            let text = fs::read_to_string(cache.snapshot("commit").join(file)).unwrap();
            assert_eq!(text, "content");
        }
    }

    #[test]
    fn names_from_the_hub_stay_in_their_folder() {
        assert_eq!(blob_name("\"abc-1\"").as_deref(), Some("abc-1"));
        assert_eq!(blob_name("W/\"0f\"").as_deref(), Some("0f"));
        for bad in [
            "",
            "\"\"",
            "../x",
            "a/b",
            "..",
            ".",
            ".x",
            "a\\b",
            "a b",
            "a\u{1b}",
            "/etc/passwd",
            "ä",
        ] {
            assert_eq!(blob_name(bad), None, "{bad}");
        }
        assert_eq!(blob_name(&"a".repeat(200)), None);
        assert!(is_commit("0123456789abcdef0123456789abcdef01234567"));
        for bad in [
            "",
            "main",
            "../../../../../../../../../../../../etc/p",
            &"a".repeat(41),
        ] {
            assert!(!is_commit(bad), "{bad}");
        }
    }
}
