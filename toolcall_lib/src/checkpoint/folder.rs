//! Folders that appear when they are complete.

use super::MODEL_CONFIG;
use super::adapter::{CONFIG, WEIGHTS};
use crate::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What belongs to the model that was there: beside another one it would change what that is read as.
const OF_A_MODEL: [&str; 2] = ["additional_chat_templates", "special_tokens_map.json"];

/// Has `fill` write a new folder, then puts it in the place of `folder`, whose other files move over.
pub(super) fn replace_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    refuse_foreign(folder)?;
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(Error::io(parent))?;
    let scratch = tempfile::Builder::new()
        .prefix(".saving-")
        .tempdir_in(parent)
        .map_err(Error::io(parent))?;
    let (new, old) = (scratch.path().join("new"), scratch.path().join("old"));
    fs::create_dir(&new).map_err(Error::io(&new))?;
    fill(&new)?;
    if folder.exists() {
        let whole_model = new.join(MODEL_CONFIG).is_file();
        keep_other_files(folder, &new)?;
        if whole_model {
            forget_adapter(&new)?;
        }
        fs::rename(folder, &old).map_err(Error::io(folder))?;
    }
    if let Err(error) = fs::rename(&new, folder) {
        if old.exists() {
            fs::rename(&old, folder).map_err(Error::io(folder))?;
        }
        return Err(Error::io(folder)(error));
    }
    Ok(())
}

/// A folder of something else must not become a model folder by a typing error. One that holds only checkpoints is that of a
/// run whose model is not saved yet.
fn refuse_foreign(folder: &Path) -> Result<()> {
    let holds_model = [MODEL_CONFIG, CONFIG]
        .iter()
        .any(|file| folder.join(file).is_file());
    if !folder.exists() || holds_model {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        if !entry.file_name().to_string_lossy().starts_with("checkpoint-") {
            return Err(Error::invalid(
                folder.display(),
                "is not empty and holds no model; choose another folder to save to",
            ));
        }
    }
    Ok(())
}

/// What is left of an adapter would be loaded instead of the whole model.
fn forget_adapter(folder: &Path) -> Result<()> {
    for file in [CONFIG, WEIGHTS].map(|file| folder.join(file)) {
        if file.is_file() {
            fs::remove_file(&file).map_err(Error::io(&file))?;
        }
    }
    Ok(())
}

/// Gives `new` hard links to, or copies of, the files of `folder` that it does not have.
fn keep_other_files(folder: &Path, new: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let (from, to): (PathBuf, PathBuf) = (entry.path(), new.join(entry.file_name()));
        if OF_A_MODEL.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if from.is_dir() {
            fs::create_dir_all(&to).map_err(Error::io(&to))?;
            keep_other_files(&from, &to)?;
        } else if !to.exists() {
            fs::hard_link(&from, &to)
                .or_else(|_| fs::copy(&from, &to).map(drop))
                .map_err(Error::io(&to))?;
        }
    }
    Ok(())
}
