//! Operations on names, and syncing them to the disk.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Syncs the names in a folder to the disk. A file system without that operation for folders syncs
/// them automatically.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    let outcome = File::open(folder).and_then(|open| open.sync_all());
    match outcome {
        Err(error) if !is_unsupported(&error) => Err(Error::io(folder)(error)),
        _ => Ok(()),
    }
}

/// A folder that we may fill but not list, or a file system without the operation.
fn is_unsupported(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::InvalidInput,
        ErrorKind::Unsupported,
        ErrorKind::PermissionDenied,
    ];
    kinds.contains(&error.kind())
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io(to))
}

/// Exchanges two folders at once; false if the system cannot.
#[cfg(target_os = "linux")]
pub(super) fn exchange(a: &Path, b: &Path) -> Result<bool> {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    let name =
        |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(Error::library(path.display()));
    let (from, to) = (name(a)?, name(b)?);
    // SAFETY: both names end with a zero and live until the call is over.
    let outcome = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    if outcome == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => Ok(false),
        _ => Err(Error::io(b)(error)),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn exchange(_: &Path, _: &Path) -> Result<bool> {
    Ok(false)
}

/// Folders that were created, the outermost first. Those that are still empty are removed when the
/// value is dropped.
#[derive(Debug, Default)]
pub(super) struct Created(Vec<PathBuf>);

impl Drop for Created {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            fs::remove_dir(folder).ok();
        }
    }
}

/// Creates a folder and those above it that are missing.
pub(super) fn create_folders(folder: &Path) -> Result<Created> {
    let missing = folder.ancestors().take_while(|path| {
        let is_here = path.as_os_str().is_empty() || path.symlink_metadata().is_ok();
        !is_here
    });
    let missing: Vec<&Path> = missing.collect();
    let mut created = Created::default();
    for path in missing.into_iter().rev() {
        fs::create_dir(path).map_err(Error::io(path))?;
        created.0.push(path.to_path_buf());
        sync_folder(parent(path))?;
    }
    Ok(created)
}

/// The folder that a path is in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Removes a file, or a folder with all that is in it; links are not followed. A missing one is not
/// an error.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(path)(error)),
        _ => Ok(()),
    }
}

/// The names in a folder, sorted; none if there is no folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io(folder))?,
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = entries
        .map(name)
        .collect::<io::Result<_>>()
        .map_err(Error::io(folder))?;
    names.sort();
    Ok(names)
}
