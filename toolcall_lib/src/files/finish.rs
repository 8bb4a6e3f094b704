//! Puts a complete draft in place, and cleans up after a crash.

use super::lock::{Lock, Refusal};
use super::manifest::{State, state};
use super::{Entry, Manifest, OLD, PARTIAL, READY, TRASH, YIELDING, names, sync, work};
use crate::error::{Error, Result};
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Head files: without one of them no program takes a folder for a model.
const HEADS: [&str; 2] = [names::CONFIG, names::ADAPTER_CONFIG];
/// Files that no program reads when it loads a model.
const BESIDE: [&str; 4] = [
    names::TRAIN_REPORT,
    names::TRAINER_STATE,
    names::TRAINING,
    YIELDING,
];
/// Longest wait of a reader for another process to put a draft in place, which takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Moves the files of the complete draft into `folder`; can be repeated after an interruption at
/// any point.
///
/// 1. If more than one file that programs read changes, the head of the old model is removed first.
///    Until step 3 the folder is not a model, rather than a mixture of two.
/// 2. The other files are moved, and what is left of the old model is removed.
/// 3. The new head is moved, then the list of the files.
pub(super) fn finish(folder: &Path) -> Result<()> {
    let ready = work(folder).join(READY);
    let Some(new) = Manifest::read(&ready)? else {
        return sync::remove(&ready); // everything was moved
    };
    let old = Manifest::read(folder)?.unwrap_or_default();
    let all = old
        .files
        .keys()
        .chain(new.files.keys().filter(|name| !old.files.contains_key(*name)));
    let others = all.filter(|name| {
        let is_read = !BESIDE.contains(&name.as_str());
        is_read && old.files.get(*name) != new.files.get(*name)
    });
    if others.count() > 1 {
        for head in HEADS.iter().filter(|head| old.files.contains_key(**head)) {
            sync::remove(&folder.join(head))?;
        }
        sync::sync_folder(folder)?;
    }
    let is_head = |name: &&String| HEADS.contains(&name.as_str());
    for name in new.files.keys().filter(|name| !is_head(name)) {
        put(&ready, folder, name)?;
    }
    for name in old.files.keys().filter(|name| !new.files.contains_key(*name)) {
        if name == YIELDING && state(folder, name, old.files.get(name))? != State::Ours {
            continue; // it has been changed, and is no longer ours
        }
        let file = folder.join(name);
        sync::remove(&file)?;
        if sync::parent(&file) != folder {
            fs::remove_dir(sync::parent(&file)).ok(); // if it holds no foreign file
        }
    }
    sync::sync_folder(folder)?;
    for name in new.files.keys().filter(is_head) {
        put(&ready, folder, name)?;
    }
    sync::sync_folder(folder)?;
    sync::sync_folder(&ready)?;
    put(&ready, folder, Manifest::NAME)?;
    sync::sync_folder(folder)?;
    sync::remove(&ready)
}

fn put(ready: &Path, folder: &Path, name: &str) -> Result<()> {
    let from = ready.join(name);
    if from.symlink_metadata().is_err() {
        return Ok(()); // it was moved before
    }
    let to = folder.join(name);
    let parent = sync::parent(&to);
    if parent == folder {
        return sync::rename(&from, &to);
    }
    fs::create_dir_all(parent).map_err(Error::io(parent))?;
    sync::rename(&from, &to)?;
    sync::sync_folder(parent)
}

/// Cleans up after a crash in a folder whose lock is held.
pub(super) fn clear_up(folder: &Path, shown: &Path) -> Result<()> {
    let work = work(folder);
    if is_there(&work.join(READY)) {
        refuse_changed(folder, shown)?;
        finish(folder)?;
    }
    for name in sync::names(&work.join(OLD))? {
        match is_there(&folder.join(&name)) {
            true => sync::remove(&work.join(OLD).join(&name))?,
            false => sync::rename(&work.join(OLD).join(&name), &folder.join(&name))?,
        }
    }
    [OLD, PARTIAL, TRASH]
        .iter()
        .try_for_each(|name| sync::remove(&work.join(name)))
}

/// Refuses to complete a save over files that were changed after it was cut short.
fn refuse_changed(folder: &Path, shown: &Path) -> Result<()> {
    let ready = work(folder).join(READY);
    let (old, new) = (
        Manifest::read(folder)?.unwrap_or_default(),
        Manifest::read(&ready)?.unwrap_or_default(),
    );
    let all = old.files.keys().chain(new.files.keys());
    for name in all.filter(|name| *name != YIELDING || new.files.contains_key(*name)) {
        let is = |entry: Option<&Entry>| {
            let found = state(folder, name, entry)?;
            Ok::<bool, Error>(matches!(found, State::Absent | State::Ours | State::Protected))
        };
        if !is(old.files.get(name))? && !is(new.files.get(name))? {
            let problem = "was changed while a save that replaces it was cut short; move it away";
            return Err(Error::invalid(shown.join(name).display(), problem));
        }
    }
    Ok(())
}

/// Completes a save that a crash cut short, in a folder that is about to be read or, if there is
/// none of this name, in the one above it. Waits for another process that does so.
///
/// # Errors
/// It cannot be completed: the folder may not be written to, or a file was changed since.
pub fn recover(folder: &Path) -> Result<()> {
    let begun = Instant::now();
    let folder = if is_there(folder) {
        folder
    } else {
        sync::parent(folder)
    };
    let is_half_done = || [READY, OLD].iter().any(|name| is_there(&work(folder).join(name)));
    while is_half_done() && begun.elapsed() < PATIENCE {
        let Ok(real) = folder.canonicalize() else {
            return Ok(());
        };
        match Lock::acquire(&real, folder) {
            Ok(lock) => {
                let _guard = lock.begin(folder)?;
                return clear_up(&real, folder);
            }
            Err(Refusal::Taken(_)) => sleep(Duration::from_millis(50)),
            Err(Refusal::Failed(error)) => {
                let problem = format!("a save was cut short there, and it cannot be completed: {error}");
                return Err(Error::invalid(folder.display(), problem));
            }
        }
    }
    Ok(())
}

/// Returns true if something has this name, even a broken link.
pub(super) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
