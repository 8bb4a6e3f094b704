//! The record of how a model was trained.

use crate::weights::hub::HubId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// Record of how a model was trained: the content of `toolcall_training.json`. It holds no times
/// and no paths, so that the same run writes the same bytes anywhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The model that it began with: its id on the hub, or the name of its folder or file.
    pub base_model: String,
    /// The data that it was trained on.
    pub data: Vec<DataFile>,
    /// The settings that differ from the default, except those that do not change what is learnt.
    pub settings: Map<String, Value>,
    /// Scores of the saved model on validation rows; empty if it was not asked.
    #[serde(default)]
    pub scores: Vec<Counted>,
}

/// A file of rows, and counts of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Its name, without its folder.
    pub file: String,
    /// Number of its rows.
    pub rows: usize,
    /// Number of its rows in which the assistant calls no tool.
    pub without_call: usize,
    /// Number of rows with several calls in one turn.
    pub several_calls: usize,
    /// Number of rows with several turns that have a call, one in each.
    pub several_turns: usize,
}

/// A score of validation rows, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Name of the count, such as `exact calls`.
    pub name: String,
    /// Number of rows for which it holds.
    pub count: usize,
    /// Number of rows that were looked at.
    pub total: usize,
}

/// Returns an id on the hub as it is; of a folder or a file only the name.
pub(super) fn public_name(origin: &str) -> String {
    let path = Path::new(origin);
    let is_id = HubId::parse(origin).is_some() && !path.exists();
    let name = path.canonicalize().ok();
    let name = name.as_deref().unwrap_or(path).file_name();
    let name = name.map_or(origin.into(), |name| name.to_string_lossy());
    match is_id {
        true => origin.to_string(),
        false => name.strip_suffix(".gguf").unwrap_or(&name).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_is_told() {
        assert_eq!(public_name("Qwen/Qwen3-0.6B"), "Qwen/Qwen3-0.6B");
        assert_eq!(public_name("/no/such/place/tiny.gguf"), "tiny");
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("base");
        std::fs::create_dir(&place).unwrap();
        assert_eq!(public_name(&format!("{}/", place.display())), "base");
    }
}
