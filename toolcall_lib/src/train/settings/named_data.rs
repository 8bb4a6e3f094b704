//! Data sets that LLaMA-Factory's files name.

use super::read::Read;
use crate::json;
use std::path::{Path, PathBuf};

/// Folder in which LLaMA-Factory looks, and the file there with the meanings of the names.
const FOLDER: &str = "data";
const NAMES: &str = "dataset_info.json";

/// Keys of an entry: the file, and the look of its rows, which the reader finds out by itself.
const READ: [&str; 4] = ["file_name", "formatting", "columns", "tags"];

/// Returns the file that a name means: itself, if it is one, or the one in `dataset_info.json`.
pub(super) fn file_of(name: &str, folder: Option<&Path>) -> Read<PathBuf> {
    let folder = folder.unwrap_or(Path::new(FOLDER));
    let itself = [PathBuf::from(name), folder.join(name)];
    if let Some(file) = itself.into_iter().find(|file| file.is_file()) {
        return Ok(file);
    }
    let names = folder.join(NAMES);
    let text = std::fs::read_to_string(&names).map_err(|error| {
        format!(
            "dataset: `{name}` is no file, and {} cannot be read: {error}; give the path of a file",
            names.display()
        )
    })?;
    let all = json::read_object(&text).map_err(|problem| format!("{}: {problem}", names.display()))?;
    let entry = all
        .get(name)
        .ok_or_else(|| format!("dataset: `{name}` is not in {}", names.display()))?;
    let unread = entry
        .as_object()
        .and_then(|entry| entry.keys().find(|key| !READ.contains(&key.as_str())));
    match (entry["file_name"].as_str(), unread) {
        (Some(file), None) => Ok(folder.join(file)),
        (_, Some(key)) => Err(format!(
            "dataset: `{name}` has `{key}` in {}, which is not read",
            names.display()
        )),
        (None, None) => Err(format!(
            "dataset: `{name}` has no `file_name` in {}",
            names.display()
        )),
    }
}
