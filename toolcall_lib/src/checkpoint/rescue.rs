//! Finds another place for a model that cannot be saved where it should be.

use crate::error::{Error, Result};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Calls `save` for `folder`; where that fails, to the first other place that it can save to.
///
/// # Errors
/// The error of `folder`. If another place was found, the message names it.
pub fn save_somewhere(folder: &Path, save: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let Err(error) = save(folder) else {
        return Ok(());
    };
    let mut places = places(folder).into_iter();
    match places.find(|place| !place.exists() && save(place).is_ok()) {
        None => Err(error),
        Some(place) => {
            let problem = format!(
                "cannot be saved to ({error}); it is saved in {} instead",
                place.display()
            );
            Err(Error::invalid(folder.display(), problem))
        }
    }
}

/// Names places beside the folder, in the working directory, in the user's home, and among the
/// temporary files.
fn places(folder: &Path) -> Vec<PathBuf> {
    let name = folder.canonicalize().ok().or_else(|| Some(folder.to_path_buf()));
    let name = name
        .as_deref()
        .and_then(Path::file_name)
        .unwrap_or("model".as_ref());
    let mut own = OsString::from(name);
    own.push(format!("-rescued-{}", std::process::id()));
    let home = env::var_os("HOME").map(PathBuf::from);
    let folders = [
        folder.parent().map(Path::to_path_buf),
        env::current_dir().ok(),
        home,
        Some(env::temp_dir()),
    ];
    folders
        .into_iter()
        .flatten()
        .map(|folder| folder.join(&own))
        .collect()
}
