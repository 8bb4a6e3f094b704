//! A file that is uploaded.

use crate::error::{Error, Result};
use crate::files;
use crate::weights::hub::client::Failure;
use sha1::{Digest, Sha1};
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

/// Bytes by which the hub decides where a file belongs.
const SAMPLE: u64 = 512;
/// Bytes of a file that a commit itself may hold; the hub has larger ones in its storage.
const LARGEST_SMALL: u64 = 64 << 20;

/// A file here, and its name in a repository.
#[derive(Clone, Debug)]
pub(crate) struct LocalFile {
    /// Path in the repository.
    pub name: String,
    /// Path here.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

impl LocalFile {
    /// Reads a file through, for its checksum.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(name: impl Into<String>, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let bytes = fs::metadata(&path).map_err(Error::io(&path))?.len();
        Ok(Self {
            name: name.into(),
            sha256: files::sha256_of_file(&path)?,
            bytes,
            path,
        })
    }

    /// Its first bytes.
    pub(super) fn sample(&self) -> std::result::Result<Vec<u8>, Failure> {
        self.first(SAMPLE)
    }

    /// All of a small file.
    pub(super) fn content(&self) -> std::result::Result<Vec<u8>, Failure> {
        if self.bytes > LARGEST_SMALL {
            let problem = format!(
                "it wants {} in the commit itself, which has {} bytes",
                self.name, self.bytes
            );
            return Err(Failure::Answer(problem));
        }
        self.first(self.bytes)
    }

    fn first(&self, bytes: u64) -> std::result::Result<Vec<u8>, Failure> {
        let mut content = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(bytes).read_to_end(&mut content));
        read.map_err(unread(self))?;
        Ok(content)
    }

    /// The name by which git, and so the hub, knows the content of a small file.
    pub(super) fn git_id(&self) -> std::result::Result<String, Failure> {
        let content = self.content()?;
        let mut hash = Sha1::new_with_prefix(format!("blob {}\0", content.len()));
        hash.update(&content);
        Ok(files::hex(&hash.finalize()))
    }
}

/// A length for people.
pub(super) fn shown(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// For `map_err`: a file that is to be uploaded cannot be read.
pub(super) fn unread(file: &LocalFile) -> impl FnOnce(std::io::Error) -> Failure {
    let path = file.path.clone();
    move |error| Failure::Cache(path, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_has_the_id_that_git_gives_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "hello\n").unwrap();
        let file = LocalFile::read("a", path).unwrap();
        assert_eq!(file.git_id().unwrap(), "ce013625030ba8dba906f756967f9e9ca394464a"); // git hash-object
        assert_eq!(file.sample().unwrap(), b"hello\n");
    }

    #[test]
    fn lengths_for_people() {
        assert_eq!(
            [shown(12), shown(98_400_000), shown(5 << 30)],
            ["1 kB", "98.4 MB", "5.37 GB"]
        );
    }
}
