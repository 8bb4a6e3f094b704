//! Lists the files of a folder that we wrote, with their checksums.

use super::WORK;
use super::checksum::sha256_of_file;
use super::sync::names;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path};

/// The one listed file that is never replaced if somebody else wrote or changed it: people edit the
/// page of a model. From then on it is theirs.
pub(super) const YIELDING: &str = super::names::CARD;

/// The files of a folder that we wrote, by their name in it: the content of `toolcall.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Every file but the list itself.
    pub files: BTreeMap<String, Entry>,
}

/// Size and checksum of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

/// A file compared with its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is there.
    Absent,
    /// It is as we wrote it.
    Ours,
    /// We wrote it, and its content has changed.
    Changed,
    /// We did not write it.
    Foreign,
    /// We wrote it, and it was made read-only.
    Protected,
}

impl Manifest {
    /// The name of the list in its folder.
    pub const NAME: &str = "toolcall.json";

    /// Reads the list of a folder, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is not a list that we wrote.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join(Self::NAME);
        let text = match fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(Error::io(&file))?,
        };
        let wrong = |problem: String| {
            let problem = format!("is not a list of files that toolcall wrote: {problem}");
            Error::invalid(file.display(), problem)
        };
        let list: Self = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
        let plain = |name: &str| {
            let mut parts = Path::new(name).components();
            !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        match list.files.keys().find(|name| !plain(name)) {
            Some(name) => Err(wrong(format!("`{name}` is not a name in this folder"))),
            None => Ok(Some(list)),
        }
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        let mut text =
            serde_json::to_vec_pretty(self).map_err(Error::library("writing the list of files"))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Compares every file of the list with what is in `folder`, apart from the one that people may
    /// edit ([`YIELDING`]).
    ///
    /// # Errors
    /// The first file that is missing or is not the one that was written.
    pub fn verify(&self, folder: &Path) -> Result<()> {
        for (name, entry) in self.files.iter().filter(|(name, _)| *name != YIELDING) {
            let problem = match state(folder, name, Some(entry))? {
                State::Ours | State::Protected => continue,
                State::Absent => "is missing".to_string(),
                _ => format!(
                    "is damaged: its content is not what was saved ({} bytes, SHA-256 {})",
                    entry.bytes, entry.sha256
                ),
            };
            return Err(Error::invalid(folder.join(name).display(), problem));
        }
        Ok(())
    }

    /// Returns true if a folder holds only files of the list; contents are not compared.
    pub(super) fn is_all_of(&self, folder: &Path) -> Result<bool> {
        self.is_all_below(folder, "")
    }

    /// Returns true if there is a folder of this name in `folder` with only files of the list.
    pub(super) fn has_folder(&self, folder: &Path, name: &str) -> Result<bool> {
        let found = folder.join(name).symlink_metadata();
        Ok(found.is_ok_and(|found| found.is_dir()) && self.is_all_below(folder, name)?)
    }

    fn is_all_below(&self, folder: &Path, prefix: &str) -> Result<bool> {
        for name in names(&folder.join(prefix))? {
            let path = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}/{name}")
            };
            let full = folder.join(&path);
            let is_folder = full.symlink_metadata().is_ok_and(|found| found.is_dir());
            let known = match is_folder {
                true => path != WORK && self.has_below(&path) && self.is_all_below(folder, &path)?,
                false => path == Self::NAME || self.files.contains_key(&path),
            };
            if !known {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Says whether a file of the list is in the folder `path`, or in one below it.
    fn has_below(&self, path: &str) -> bool {
        let is_below = |name: &String| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.files.keys().any(is_below)
    }
}

/// Compares the file `name` in `folder` with its entry.
pub(super) fn state(folder: &Path, name: &str, entry: Option<&Entry>) -> Result<State> {
    let path = folder.join(name);
    let found = match path.symlink_metadata() {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(State::Absent);
        }
        found => found.map_err(Error::io(&path))?,
    };
    let Some(entry) = entry.filter(|_| found.is_file() && !is_below_link(folder, name)) else {
        return Ok(State::Foreign);
    };
    if found.len() != entry.bytes || sha256_of_file(&path)? != entry.sha256 {
        return Ok(State::Changed);
    }
    Ok(match found.permissions().readonly() {
        true => State::Protected,
        false => State::Ours,
    })
}

/// Returns true if a part of the path from `folder` to `name` is a link, which leads elsewhere.
fn is_below_link(folder: &Path, name: &str) -> bool {
    let above = Path::new(name).ancestors().skip(1);
    above
        .map(|part| folder.join(part))
        .take_while(|part| part != folder)
        .any(|part| part.is_symlink())
}
