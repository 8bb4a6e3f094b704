//! Files that are being written, before they appear.

use super::checksum::hex;
use super::manifest::{State, YIELDING, state};
use super::{Entry, Manifest, sync};
use crate::error::{Error, Result, tell};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes that are written at a time.
pub(super) const BUFFER: usize = 1 << 20;

/// The files that will appear together in a folder.
#[derive(Debug)]
pub struct Draft {
    /// Folder in which they are written.
    folder: PathBuf,
    /// Folder in which they will appear, as the user named it.
    place: PathBuf,
    manifest: Manifest,
}

/// A file of a [`Draft`]: what is written to it is hashed on the way.
#[derive(Debug)]
pub struct NewFile {
    out: BufWriter<Hashed>,
}

#[derive(Debug)]
struct Hashed {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Draft {
    /// An empty draft in `folder`, which is created.
    pub(super) fn begin(folder: PathBuf, place: PathBuf) -> Result<Self> {
        sync::remove(&folder)?;
        fs::create_dir(&folder).map_err(Error::io(&place))?;
        Ok(Self {
            folder,
            place,
            manifest: Manifest::default(),
        })
    }

    /// The place where a file of this name will be, for messages.
    pub fn place(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Adds a file.
    pub fn write(&mut self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let place = self.place(name);
        self.write_with(name, |file| {
            file.write_all(content.as_ref()).map_err(Error::io(place))
        })
    }

    /// Adds a file of indented JSON.
    pub fn write_json(&mut self, name: &str, content: &impl Serialize) -> Result<()> {
        let doing = || format!("writing {}", self.place(name).display());
        let mut text = serde_json::to_vec_pretty(content).map_err(Error::library(doing()))?;
        text.push(b'\n');
        self.write(name, text)
    }

    /// Adds a file with what `fill` writes. `name` may be in a folder of the draft:
    /// `optimizer/exp_avg`.
    pub fn write_with(&mut self, name: &str, fill: impl FnOnce(&mut NewFile) -> Result<()>) -> Result<()> {
        let (path, place) = (self.folder.join(name), self.place(name));
        let failed = |error: io::Error| Error::io(&place)(error);
        fs::create_dir_all(sync::parent(&path)).map_err(failed)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed)?;
        let hashed = Hashed {
            file,
            hash: Sha256::new(),
            bytes: 0,
        };
        let mut file = NewFile {
            out: BufWriter::with_capacity(BUFFER, hashed),
        };
        fill(&mut file)?;
        let entry = file.finish().map_err(failed)?;
        self.manifest.files.insert(name.to_string(), entry);
        Ok(())
    }

    /// Removes [`YIELDING`] from the draft if it would replace what somebody else wrote in
    /// `target`.
    pub(super) fn give_way(&mut self, target: &Path) -> Result<()> {
        let name = YIELDING;
        let list = Manifest::read(target)?.unwrap_or_default();
        match state(target, name, list.files.get(name))? {
            State::Absent | State::Ours => Ok(()),
            _ if self.manifest.files.remove(name).is_none() => Ok(()),
            _ => {
                let place = self.place.join(name);
                tell(format!(
                    "note: {} was not written by toolcall or has been changed since, and stays",
                    place.display()
                ));
                sync::remove(&self.folder.join(name))
            }
        }
    }

    /// Adds the list of the files, and syncs everything to the disk.
    pub(super) fn seal(self) -> Result<(PathBuf, Manifest)> {
        let path = self.folder.join(Manifest::NAME);
        let text = self.manifest.to_json()?;
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written.map_err(Error::io(self.place(Manifest::NAME)))?;
        let names = self.manifest.files.keys();
        let folders: BTreeSet<&Path> = names
            .flat_map(|name| Path::new(name).ancestors().skip(1))
            .collect();
        for folder in folders.into_iter().rev() {
            sync::sync_folder(&self.folder.join(folder))?;
        }
        Ok((self.folder, self.manifest))
    }
}

impl NewFile {
    fn finish(self) -> io::Result<Entry> {
        let Hashed { file, hash, bytes } = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(Entry {
            bytes,
            sha256: hex(&hash.finalize()),
        })
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
