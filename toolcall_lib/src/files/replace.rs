//! A single file.

use super::draft::BUFFER;
use super::lock::is_still;
use super::sync;
use crate::error::{Error, Result};
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes a file with what `fill` writes. It appears once it is complete; an existing one is
/// replaced and keeps its permissions. A link is followed. Something that is not a file, such as a
/// pipe, is written to directly. Missing folders are created.
///
/// # Errors
/// It cannot be written, or another process is writing it; then the old file stays.
pub fn replace(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let target = follow(path)?;
    let old = old_file(&target, path)?;
    let failed = |error: std::io::Error| Error::io(path)(error);
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        let mut out = BufWriter::new(OpenOptions::new().write(true).open(&target).map_err(failed)?);
        fill(&mut out)?;
        return out.flush().map_err(failed);
    }
    let _created = sync::create_folders(sync::parent(&target))?;
    let new = New::create(&target, path)?;
    let mut out = BufWriter::with_capacity(BUFFER, new.file.try_clone().map_err(failed)?);
    fill(&mut out)?;
    out.flush().map_err(failed)?;
    if let Some(old) = old {
        new.file.set_permissions(old.permissions()).map_err(failed)?;
    }
    new.file.sync_all().map_err(failed)?;
    new.put(&target).map_err(failed)?;
    sync::sync_folder(sync::parent(&target))
}

/// Makes sure that [`replace`] can write a file, and leaves nothing behind.
///
/// # Errors
/// The same as for [`replace`].
pub fn check(path: &Path) -> Result<()> {
    let target = follow(path)?;
    match old_file(&target, path)? {
        Some(old) if !old.is_file() => Ok(()),
        _ => {
            let _created = sync::create_folders(sync::parent(&target))?;
            New::create(&target, path).map(drop)
        }
    }
}

/// [`replace`] with this content.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    replace(path, |out| {
        out.write_all(content.as_ref()).map_err(Error::io(path))
    })
}

/// Returns the metadata of the file at `target`, if there is one; refuses what may not be written
/// to.
fn old_file(target: &Path, shown: &Path) -> Result<Option<Metadata>> {
    let wrong = |problem: &str| Err(Error::invalid(shown.display(), problem));
    match fs::metadata(target).ok() {
        Some(old) if old.is_dir() => wrong("is a folder; expected the name of a file"),
        Some(old) if old.is_file() && old.permissions().readonly() => {
            wrong("is write-protected; choose another name")
        }
        old => Ok(old),
    }
}

/// The file that a link leads to; any other path as it is.
fn follow(path: &Path) -> Result<PathBuf> {
    let Ok(to) = fs::read_link(path) else {
        return Ok(path.to_path_buf());
    };
    path.canonicalize().map_err(|_| {
        let problem = format!("is a link to {}, which does not exist", to.display());
        Error::invalid(path.display(), problem)
    })
}

/// A new file next to its place. It is removed with the value, unless it was put in place.
struct New {
    path: PathBuf,
    file: File,
    in_place: bool,
}

impl New {
    /// Always uses the same name, so that a file that a crash left is reused; a lock keeps others
    /// out.
    fn create(target: &Path, shown: &Path) -> Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.saving"));
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = options
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path)
                .map_err(Error::io(shown))?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    let problem = "another process is writing it; wait until it has ended";
                    return Err(Error::invalid(shown.display(), problem));
                }
                Err(TryLockError::Error(_)) | Ok(()) => {} // an error: a file system without locks
            }
            if is_still(&file, &path) {
                file.set_len(0).map_err(Error::io(shown))?;
                let in_place = false;
                return Ok(Self { path, file, in_place });
            }
        }
    }

    fn put(mut self, target: &Path) -> std::io::Result<()> {
        fs::rename(&self.path, target)?;
        self.in_place = true;
        Ok(())
    }
}

impl Drop for New {
    fn drop(&mut self) {
        if !self.in_place {
            fs::remove_file(&self.path).ok();
        }
    }
}
