//! The files that hold the weights of a folder.

use crate::error::{Error, Result, some_of};
use crate::files::names::{WEIGHTS, WEIGHTS_INDEX};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Returns the files that hold the weights of `folder`; all of them exist.
pub(super) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let missing = missing_weights(folder)?;
    if !missing.is_empty() {
        return Err(Error::invalid(
            folder.display(),
            format!("these files are missing: {}", some_of(&missing)),
        ));
    }
    let names = if folder.join(WEIGHTS).is_file() {
        [WEIGHTS.into()].into()
    } else {
        shards(&folder.join(WEIGHTS_INDEX))?
    };
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// Lists the files of weights that a folder lacks.
pub(in crate::weights) fn missing_weights(folder: &Path) -> Result<Vec<String>> {
    if folder.join(WEIGHTS).is_file() {
        return Ok(Vec::new());
    }
    if !folder.join(WEIGHTS_INDEX).is_file() {
        return Ok(vec![format!("{WEIGHTS} (or {WEIGHTS_INDEX} with its shards)")]);
    }
    let shards = shards(&folder.join(WEIGHTS_INDEX))?;
    Ok(shards
        .into_iter()
        .filter(|shard| !folder.join(shard).is_file())
        .collect())
}

/// Returns the file names in an index. None leaves the folder, even if the index came from
/// elsewhere.
pub(in crate::weights) fn shards(index: &Path) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(index).map_err(Error::io(index))?;
    let json: Map<String, Value> =
        serde_json::from_str(&text).map_err(|e| Error::invalid(index.display(), e))?;
    let place = format!("{}: weight_map", index.display());
    let Some(Value::Object(map)) = json.get("weight_map") else {
        return Err(Error::invalid(
            place,
            "is missing; expected an object from tensor name to file name",
        ));
    };
    let file_name = |value: &Value| match value.as_str() {
        Some(name) if Path::new(name).file_name() == Some(name.as_ref()) => Ok(name.to_string()),
        _ => Err(Error::invalid(&place, format!("{value} is not a file name"))),
    };
    map.values().map(file_name).collect()
}
