//! A folder that a run or a save writes to.

use super::finish::{clear_up, finish, is_there};
use super::lock::{Lock, Refusal};
use super::manifest::{State, state};
use super::sync::Created;
use super::{Draft, Manifest, OLD, PARTIAL, READY, TRASH, YIELDING, names, sync, work};
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder to write to: it exists, nobody else writes to it, and it is cleaned up after a crash.
/// Values for the same folder in one process share its lock.
///
/// Other files in the folder are left alone, and so is everything that links in it lead to.
#[derive(Debug)]
pub struct Output {
    /// Its path without links.
    folder: PathBuf,
    /// Its path as the user gave it.
    shown: PathBuf,
    lock: Arc<Lock>,
    _created: Created,
}

impl Output {
    /// Locks a folder, which is created if needed. A link to a folder is followed.
    ///
    /// # Errors
    /// It is not a folder, is a link to nothing, cannot be written to, or another process writes
    /// there, which the error names.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let shown = folder.as_ref();
        let wrong = |problem: String| Error::invalid(shown.display(), problem);
        let created = create(shown)?;
        let folder = shown.canonicalize().map_err(Error::io(shown))?;
        let lock = Lock::acquire(&folder, shown).map_err(|refusal| match refusal {
            Refusal::Taken(by) => wrong(by),
            Refusal::Failed(error) => error,
        })?;
        let output = Self {
            folder,
            shown: shown.to_path_buf(),
            lock,
            _created: created,
        };
        let guard = output.lock.begin(shown)?;
        clear_up(&output.folder, shown)?;
        drop(guard);
        Ok(output)
    }

    /// The folder as it was named.
    pub fn path(&self) -> &Path {
        &self.shown
    }

    /// Refuses to go on if a file with one of these names, or any file that we have listed here,
    /// was written or changed by somebody else, or is a folder.
    pub fn refuse_foreign(&self, names: &[&str]) -> Result<()> {
        let list = Manifest::read(&self.folder)?.unwrap_or_default();
        let names: BTreeSet<&str> = names
            .iter()
            .copied()
            .chain(list.files.keys().map(String::as_str))
            .collect();
        for name in names.into_iter().filter(|name| *name != YIELDING) {
            if names::FOLDERS.contains(&name) && list.has_folder(&self.folder, name)? {
                continue; // its files are looked at one by one
            }
            let why = match state(&self.folder, name, list.files.get(name))? {
                State::Absent | State::Ours => continue,
                State::Foreign => "was not written by toolcall",
                State::Changed => "has been changed since toolcall wrote it",
                State::Protected => "is write-protected",
            };
            return Err(self.in_the_way(name, why));
        }
        Ok(())
    }

    /// Refuses to go on if something has this name that [`Output::save_folder`] did not write.
    pub fn refuse_foreign_folder(&self, name: &str) -> Result<()> {
        let place = self.folder.join(name);
        match !is_there(&place) || is_empty(&place) || matches!(Manifest::read(&place), Ok(Some(_))) {
            true => Ok(()),
            false => Err(self.in_the_way(name, "was not written by toolcall")),
        }
    }

    fn in_the_way(&self, name: &str, why: &str) -> Error {
        let problem = format!("{why}, and saving would replace it; move it away or choose another folder");
        Error::invalid(self.shown.join(name).display(), problem)
    }

    /// Refuses to replace a folder that is not as we wrote it.
    fn refuse_changed_folder(&self, name: &str) -> Result<()> {
        self.refuse_foreign_folder(name)?;
        let place = self.folder.join(name);
        let Some(list) = Manifest::read(&place)? else {
            return Ok(());
        };
        match list.is_all_of(&place)? && list.verify(&place).is_ok() {
            true => Ok(()),
            false => Err(self.in_the_way(name, "is not as toolcall wrote it, or holds other files")),
        }
    }

    /// Saves the files that `fill` drafts into the folder, in place of all that we saved there
    /// before. `reserved` are names, besides those of the draft, that no foreign file may have.
    ///
    /// # Errors
    /// A file would be replaced that is not ours, or one cannot be written; then the folder is as
    /// it was. If the disk fails while the files are put in place, the next process that opens or
    /// reads the folder completes the save.
    pub fn save(&self, reserved: &[&str], fill: impl FnOnce(&mut Draft) -> Result<()>) -> Result<()> {
        let _guard = self.lock.begin(&self.shown)?;
        let (work, scrap) = (work(&self.folder), self.scrap());
        let (partial, list) = self.draft(self.shown.clone(), |draft| {
            fill(draft)?;
            draft.give_way(&self.folder)
        })?;
        let names = reserved
            .iter()
            .copied()
            .chain(list.files.keys().map(String::as_str));
        self.refuse_foreign(&names.collect::<Vec<_>>())?;
        for name in list.files.keys().map(String::as_str).chain([Manifest::NAME]) {
            keep_mode(&self.folder.join(name), &partial.join(name))?;
        }
        sync::rename(&partial, &work.join(READY))?;
        drop(scrap);
        sync::sync_folder(&work)?;
        sync::sync_folder(&self.folder)?;
        finish(&self.folder)
    }

    /// Saves the files that `fill` drafts as the folder `name`, in place of an earlier one that we
    /// saved.
    ///
    /// # Errors
    /// Something has the name that is not our folder, or a file cannot be written; then
    /// everything is as it was.
    pub fn save_folder(&self, name: &str, fill: impl FnOnce(&mut Draft) -> Result<()>) -> Result<()> {
        let _guard = self.lock.begin(&self.shown)?;
        let (work, _scrap) = (work(&self.folder), self.scrap());
        let (partial, _) = self.draft(self.shown.join(name), fill)?;
        self.refuse_changed_folder(name)?;
        let place = self.folder.join(name);
        let is_taken = is_there(&place) && !is_empty(&place);
        if is_taken {
            keep_mode(&place, &partial)?;
        }
        if !is_taken {
            sync::rename(&partial, &place)?;
        } else if !sync::exchange(&partial, &place)? {
            swap(&work, &partial, &place, name)?;
        }
        sync::sync_folder(&self.folder)?;
        sync::sync_folder(&work)
    }

    /// Removes a folder that [`Output::save_folder`] wrote. One that holds other files stays.
    pub fn remove_folder(&self, name: &str) -> Result<()> {
        let _guard = self.lock.begin(&self.shown)?;
        let place = self.folder.join(name);
        let ours = Manifest::read(&place)?;
        if !ours.is_some_and(|list| list.is_all_of(&place).unwrap_or(false)) {
            return Ok(());
        }
        let trash = work(&self.folder).join(TRASH);
        sync::remove(&trash)?;
        sync::rename(&place, &trash)?;
        sync::sync_folder(&self.folder)?;
        sync::remove(&trash)
    }

    /// Drafts files which will be at `place`.
    fn draft(
        &self,
        place: PathBuf,
        fill: impl FnOnce(&mut Draft) -> Result<()>,
    ) -> Result<(PathBuf, Manifest)> {
        let mut draft = Draft::begin(work(&self.folder).join(PARTIAL), place)?;
        fill(&mut draft)?;
        draft.seal()
    }

    /// Removes a draft that is still there when the value goes.
    fn scrap(&self) -> Scrap {
        Scrap(work(&self.folder).join(PARTIAL))
    }
}

struct Scrap(PathBuf);

impl Drop for Scrap {
    fn drop(&mut self) {
        sync::remove(&self.0).ok();
    }
}

/// Creates an output folder if nothing has its name.
fn create(shown: &Path) -> Result<Created> {
    let wrong = |problem: &str| Err(Error::invalid(shown.display(), problem));
    match fs::metadata(shown) {
        Ok(found) if found.is_dir() => Ok(Created::default()),
        Ok(_) => wrong("is a file; expected a folder, or a name that is free"),
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::read_link(shown) {
            Ok(to) => {
                let to = to.display();
                wrong(&format!(
                    "is a link to {to}, which does not exist; make that folder, or remove the link"
                ))
            }
            Err(_) if shown.as_os_str().is_empty() => {
                Err(Error::invalid("the folder to save to", "its name is empty"))
            }
            Err(_) => sync::create_folders(shown),
        },
        Err(error) => Err(Error::io(shown)(error)),
    }
}

/// A folder without anything in it.
fn is_empty(place: &Path) -> bool {
    let is_folder = place.symlink_metadata().is_ok_and(|found| found.is_dir());
    is_folder && sync::names(place).is_ok_and(|names| names.is_empty())
}

/// Gives `new` the permissions of `old`, if there is one.
fn keep_mode(old: &Path, new: &Path) -> Result<()> {
    match fs::metadata(old) {
        Ok(found) => fs::set_permissions(new, found.permissions()).map_err(Error::io(old)),
        Err(_) => Ok(()),
    }
}

/// Replaces a folder in two steps, where it cannot be done in one.
fn swap(work: &Path, new: &Path, place: &Path, name: &str) -> Result<()> {
    let old = work.join(OLD);
    sync::remove(&old)?;
    fs::create_dir(&old).map_err(Error::io(place))?;
    sync::sync_folder(work)?;
    sync::rename(place, &old.join(name))?;
    sync::sync_folder(&old)?;
    if let Err(error) = sync::rename(new, place) {
        sync::rename(&old.join(name), place)?;
        return Err(error);
    }
    sync::sync_folder(sync::parent(place))?;
    sync::remove(&old)
}
