//! The checkpoints of an output folder.

use super::config::TrainConfig;
use super::state_file::saved_at;
use crate::checkpoint;
use crate::error::{Error, Result};
use crate::files::names::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, BEST, MOMENTS, TRAINER_STATE, WEIGHTS};
use crate::files::{self, Manifest, Output};
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the name of the checkpoint after `steps` steps.
pub(super) fn name(steps: usize) -> String {
    format!("checkpoint-{steps}")
}

/// Takes the output folder of a run, and makes sure that its model and its checkpoints can be saved
/// there.
pub(super) fn open(config: &TrainConfig) -> Result<Option<Output>> {
    let Some(folder) = &config.output_dir else {
        return Ok(None);
    };
    let output = checkpoint::reserve_folder(folder)?;
    for (_, name) in named(folder)? {
        output.refuse_foreign_folder(&name)?;
    }
    Ok(Some(output))
}

/// Returns a note for a user who begins anew in a folder that has checkpoints.
pub(super) fn begins_anew(folder: &Path) -> Result<Option<String>> {
    let latest = saved(folder)?.pop();
    Ok(latest.map(|latest| {
        let folder = folder.display();
        format!(
            "{folder} holds {latest} of an earlier run; this run starts from the beginning and does not \
            resume from it"
        )
    }))
}

/// Returns true if a folder has a checkpoint.
pub(super) fn has_any(folder: &Path) -> bool {
    saved(folder).is_ok_and(|saved| !saved.is_empty())
}

/// The checkpoint that `path` means: itself, or the one in it that was saved last.
///
/// # Errors
/// There is none.
pub(super) fn find(path: &Path) -> Result<PathBuf> {
    files::recover(path)?;
    if path.join(MOMENTS[0]).is_file() {
        return Ok(path.to_path_buf());
    }
    let wrong = |problem: &str| Err(Error::invalid(path.display(), problem));
    if !path.is_dir() {
        return wrong(
            "there is no such folder; expected a checkpoint, or a run's folder that holds checkpoints",
        );
    }
    match saved(path)?.pop() {
        Some(name) => Ok(path.join(name)),
        None => wrong("holds no checkpoint; training writes them every `save_steps` steps and after Ctrl-C"),
    }
}

/// Refuses a checkpoint whose files are not those that were saved.
pub(super) fn verify(folder: &Path) -> Result<()> {
    let list = Manifest::read(folder)?.ok_or_else(|| {
        let problem = format!(
            "has no {}, which lists the checksums of its files; resume from another \
            checkpoint",
            Manifest::NAME
        );
        Error::invalid(folder.display(), problem)
    })?;
    let damaged = |error: Error| {
        let advice = "resume from another checkpoint";
        Error::invalid("damaged checkpoint", format!("{error}; {advice}"))
    };
    list.verify(folder).map_err(damaged)?;
    // Every file that a run reads has to be listed: a file without a checksum may be damaged.
    let mut read = [TRAINER_STATE, WEIGHTS, ADAPTER_CONFIG, ADAPTER_WEIGHTS, BEST]
        .into_iter()
        .chain(MOMENTS);
    match read.find(|name| folder.join(name).exists() && !list.files.contains_key(*name)) {
        None => Ok(()),
        Some(name) => {
            let problem = format!("is not in {}, which lists the checksums", Manifest::NAME);
            Err(damaged(Error::invalid(folder.join(name).display(), problem)))
        }
    }
}

/// Removes the checkpoints that were saved first, until there are `limit` of them; never the one of
/// `steps` steps.
pub(super) fn keep(limit: usize, steps: usize, output: &Output) -> Result<()> {
    let (latest, mut others) = (name(steps), saved(output.path())?);
    let surplus = others.len().saturating_sub(limit);
    others.retain(|name| *name != latest);
    let mut first = others.iter().take(surplus);
    first.try_for_each(|name| output.remove_folder(name))
}

/// Our checkpoints in a folder, the one that was saved last at the end.
fn saved(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (steps, name) in named(folder)? {
        let list = Manifest::read(&folder.join(&name)).ok().flatten();
        if list.is_some_and(|list| list.files.contains_key(TRAINER_STATE)) {
            found.push((saved_at(&folder.join(&name)), steps, name));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, _, name)| name).collect())
}

/// Lists everything with the name of a checkpoint, with its number of steps.
fn named(folder: &Path) -> Result<Vec<(usize, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let name = entry.map_err(Error::io(folder))?.file_name();
        let steps = name.to_str().and_then(|name| name.strip_prefix("checkpoint-"));
        if let Some(steps) = steps.and_then(|steps| steps.parse().ok()) {
            found.push((steps, name.to_string_lossy().into_owned()));
        }
    }
    Ok(found)
}
