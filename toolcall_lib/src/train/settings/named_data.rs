//! Data sets that LLaMA-Factory's files name.

use super::read::{Read, is_off, text, whole};
use crate::data_source::DataSource;
use crate::json;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Folder in which LLaMA-Factory looks, and the file there with the meanings of the names.
const FOLDER: &str = "data";
const NAMES: &str = "dataset_info.json";

/// Keys of an entry: where the rows are, and their format, which the reader detects.
const READ: [&str; 9] = [
    "file_name",
    "hf_hub_url",
    "ms_hub_url",
    "subset",
    "split",
    "num_samples",
    "formatting",
    "columns",
    "tags",
];

/// Returns the data set that a name means: a file of this name, or what `dataset_info.json` says.
/// Also returns a note, where LLaMA-Factory reads it differently.
pub(super) fn source_of(name: &str, folder: Option<&Path>) -> Read<(DataSource, Option<String>)> {
    let folder = folder.unwrap_or(Path::new(FOLDER));
    let itself = [PathBuf::from(name), folder.join(name)];
    if let Some(file) = itself.into_iter().find(|file| file.is_file()) {
        return Ok((DataSource::file(file), None));
    }
    let names = folder.join(NAMES);
    let text = std::fs::read_to_string(&names).map_err(|error| {
        format!(
            "dataset: `{name}` is not a file, and {} cannot be read: {error}; give the path of a file",
            names.display()
        )
    })?;
    let all = json::read_object(&text).map_err(|problem| format!("{}: {problem}", names.display()))?;
    let entry = all
        .get(name)
        .and_then(Value::as_object)
        .ok_or_else(|| format!("dataset: `{name}` is not in {}", names.display()))?;
    let place = names.display().to_string();
    of_entry(entry, folder, &place).map_err(|problem| format!("dataset: `{name}` has {problem}"))
}

fn of_entry(entry: &Map<String, Value>, folder: &Path, place: &str) -> Read<(DataSource, Option<String>)> {
    let unread = |(key, value): &(&String, &Value)| !READ.contains(&key.as_str()) && !is_off(value);
    if let Some((key, _)) = entry.iter().find(unread) {
        return Err(format!("`{key}` in {place}, which is not read"));
    }
    let given = |key: &str| entry.get(key).filter(|value| !value.is_null());
    let said = |key: &str| {
        let read = given(key).map(text).transpose();
        read.map_err(|problem| format!("`{key}` in {place}: {problem}"))
    };
    // A repository comes before a file, as in LLaMA-Factory.
    let source = match (said("hf_hub_url")?, said("file_name")?) {
        (Some(repo), _) => DataSource::named(&repo).map_err(|error| error.to_string())?,
        (None, Some(file)) => {
            let path = folder.join(file);
            DataSource::of_path(&path.to_string_lossy()).map_err(|error| error.to_string())?
        }
        (None, None) => return Err(format!("neither `hf_hub_url` nor `file_name` in {place}")),
    };
    let most = given("num_samples").map(whole).transpose();
    let most = most.map_err(|problem| format!("`num_samples` in {place}: {problem}"))?;
    let split = said("split")?;
    let split = match most {
        Some(most) => Some(format!("{}[:{most}]", split.as_deref().unwrap_or("train"))),
        None => split,
    };
    let note = most.map(|most| {
        format!("num_samples: the first {most} rows are read; LLaMA-Factory draws them at random")
    });
    let source = DataSource {
        config: said("subset")?,
        split,
        ..source
    };
    Ok((source, note))
}
