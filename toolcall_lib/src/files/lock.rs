//! One writer at a time for a folder.

use super::{OLD, PARTIAL, READY, TRASH, sync, work};
use crate::error::{Error, Result};
use crate::machine::host;
use crate::mutex::locked;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::sleep;
use std::time::Duration;

const LOCK: &str = "lock";
/// Tries before a folder counts as taken: a writer that has just ended may still be clearing up.
const TRIES: usize = 4;
const PAUSE: Duration = Duration::from_millis(50);

/// The locks of this process: a run and the saving of its model share one.
static HELD: Mutex<Vec<Weak<Lock>>> = Mutex::new(Vec::new());

/// The right to write into a folder, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    folder: PathBuf,
    file: File,
    /// Held while files are drafted and put in place.
    writing: Mutex<()>,
}

/// Reason why a folder cannot be locked.
pub(super) enum Refusal {
    /// Another process writes there; the string describes it.
    Taken(String),
    Failed(Error),
}

impl Lock {
    /// Takes the lock of `folder`; errors name it as it was given, `shown`.
    pub fn acquire(folder: &Path, shown: &Path) -> std::result::Result<Arc<Self>, Refusal> {
        let mut tries = 0;
        loop {
            let mut held = locked(&HELD);
            held.retain(|lock| lock.strong_count() > 0);
            let own = held.iter().filter_map(Weak::upgrade);
            if let Some(lock) = own.into_iter().find(|lock| lock.folder == folder) {
                return Ok(lock);
            }
            match try_lock(folder, shown) {
                Ok(Some(file)) => {
                    let lock = Arc::new(Self {
                        folder: folder.to_path_buf(),
                        file,
                        writing: Mutex::new(()),
                    });
                    held.push(Arc::downgrade(&lock));
                    return Ok(lock);
                }
                Ok(None) => {} // it went away meanwhile
                Err(Refusal::Taken(_)) if tries < TRIES => {}
                Err(refusal) => return Err(refusal),
            }
            drop(held);
            tries += 1;
            sleep(PAUSE);
        }
    }

    /// Waits until no other thread of this process writes into the folder.
    ///
    /// # Errors
    /// The folder is not the one that was locked: it was removed, or another has its name.
    pub fn begin(&self, shown: &Path) -> Result<MutexGuard<'_, ()>> {
        let guard = locked(&self.writing);
        match is_still(&self.file, &work(&self.folder).join(LOCK)) {
            true => Ok(guard),
            false => {
                let problem = "has been moved or removed since this run took it";
                Err(Error::invalid(shown.display(), problem))
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _held = locked(&HELD);
        let work = work(&self.folder);
        if is_still(&self.file, &work.join(LOCK)) {
            fs::remove_file(work.join(LOCK)).ok();
            fs::remove_dir(work).ok(); // it stays if there is something to recover
        }
    }
}

/// Tries once. `None` if the lock was released meanwhile.
fn try_lock(folder: &Path, shown: &Path) -> std::result::Result<Option<File>, Refusal> {
    let work = work(folder);
    let cannot = |error: std::io::Error| {
        let problem = format!("cannot be written to: {error}");
        Refusal::Failed(Error::invalid(shown.display(), problem))
    };
    match fs::create_dir(&work) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(cannot(error)),
        _ => refuse_foreign(&work).map_err(Refusal::Failed)?,
    }
    let path = work.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = match options.custom_flags(libc::O_NOFOLLOW).open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(cannot)?,
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            return Err(Refusal::Taken(taken_by(holder.trim())));
        }
        // A file system without locks: the folder counts as free.
        Err(TryLockError::Error(_)) | Ok(()) => {}
    }
    if !is_still(&file, &path) {
        return Ok(None);
    }
    describe_holder(&file).ok(); // best effort: the disk may be full
    Ok(Some(file))
}

/// Refuses a `.saving` that somebody else has made.
fn refuse_foreign(work: &Path) -> Result<()> {
    if !work.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        let problem = "is in the way: toolcall makes drafts in a folder of this name; move it away";
        return Err(Error::invalid(work.display(), problem));
    }
    let ours = [LOCK, PARTIAL, READY, OLD, TRASH];
    let foreign = sync::names(work)?
        .into_iter()
        .find(|name| !ours.contains(&name.as_str()));
    match foreign {
        None => Ok(()),
        Some(name) => {
            let problem = "was not written by toolcall, which makes its drafts in this folder; move it away";
            Err(Error::invalid(work.join(name).display(), problem))
        }
    }
}

/// Returns true if the open file is the one that has this name.
pub(super) fn is_still(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), path.symlink_metadata()) else {
        return false;
    };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

fn taken_by(holder: &str) -> String {
    let who = match holder {
        "" => "another process".to_string(),
        holder => holder.to_string(),
    };
    format!("{who} is writing there; wait until it has ended, or choose another folder")
}

/// Writes who has the lock, for messages only.
fn describe_holder(mut file: &File) -> std::io::Result<()> {
    let since = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC");
    let (process, host) = (std::process::id(), host());
    file.set_len(0)?;
    writeln!(file, "process {process} on {host}, since {since},")
}
