//! A saved model on the Hugging Face hub.

use super::{load, save_as};
use crate::error::{Error, Result, tell};
use crate::files::{self, Manifest, names};
use crate::interrupt;
use crate::weights::Dtype;
use crate::weights::hub::{Hub, HubId, LocalFile, Pushed, Upload};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// Logs of a run. They show how long it took, and their notes can name local paths.
const LOGS: [&str; 2] = [names::TRAIN_REPORT, names::TRAINER_STATE];

/// Settings of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushConfig {
    /// True to create a private repository and refuse a public one.
    pub private: bool,
    /// The branch, which is created if there is none.
    pub revision: String,
    /// The first line of the commit.
    pub commit_message: String,
    /// Type of the weights of a GGUF file to make of the model and upload too, with its
    /// `Modelfile`: any [`Dtype`] but `Auto`. An adapter is merged for it.
    pub gguf: Option<Dtype>,
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            private: true,
            revision: "main".to_string(),
            commit_message: "Upload a model that toolcall saved".to_string(),
            gguf: None,
        }
    }
}

/// Publishes a saved model or adapter on the Hugging Face hub, as `owner/name`: the files that were
/// saved, and the page `README.md`. Logs, checkpoints and all other files in the folder stay here.
/// A name without an owner belongs to the user of the token.
///
/// The hub, the token and the time limits are those of the environment ([`Hub::from_env`]). The
/// token needs write access; it is sent to the hub only and appears in no message. A push that
/// breaks off is retried, and the next push sends only the missing files; all of them appear at
/// once, with the commit. Ctrl-C stops it before that.
///
/// ```no_run
/// use toolcall_lib::{PushConfig, push_to_hub};
///
/// # fn main() -> toolcall_lib::Result<()> {
/// let pushed = push_to_hub("out/tuned", "me/tuned", &PushConfig::default())?;
/// println!("{pushed}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `folder` is not a saved model, or a file of it was changed since; there is no token, or it has
/// no write access; the repository is public and must not be; the network is gone.
pub fn push_to_hub(folder: impl AsRef<Path>, repo: &str, config: &PushConfig) -> Result<Pushed> {
    push_to(&Hub::from_env()?, folder, repo, config)
}

/// [`push_to_hub`] for a hub of your choice.
///
/// # Errors
/// The same.
pub fn push_to(hub: &Hub, folder: impl AsRef<Path>, repo: &str, config: &PushConfig) -> Result<Pushed> {
    let folder = folder.as_ref();
    let id = repository(hub, repo, &config.revision)?; // before the work
    let _until_it_is_there = interrupt::Guard::start()?;
    let mut files = saved_files(folder)?;
    let exported = config.gguf.map(|dtype| export(folder, &id, dtype)).transpose()?;
    if let Some(exported) = &exported {
        files.extend(files_in(exported.path())?);
    }
    let how = Upload {
        private: config.private,
        message: &config.commit_message,
    };
    let pushed = hub.upload(&id, &files, &how)?;
    for name in &pushed.ignored {
        tell(format!(
            "note: the .gitignore of {id} keeps {name} out, so it is not there"
        ));
    }
    Ok(pushed)
}

/// Makes sure, before a run, that its model can be pushed afterwards, and returns `owner/name`. A
/// name without an owner belongs to the user of the token, which is the one thing that the hub is
/// asked.
///
/// # Errors
/// The repository or the branch cannot have that name, there is no token or the hub does not accept
/// it, or the hub is switched off.
pub fn can_push(repo: &str, config: &PushConfig) -> Result<String> {
    Ok(repository(&Hub::from_env()?, repo, &config.revision)?.repo)
}

/// Returns the repository that is pushed to, with its owner and the branch.
fn repository(hub: &Hub, repo: &str, revision: &str) -> Result<HubId> {
    let repo = match repo.contains('/') {
        true => repo.to_string(),
        false => format!("{}/{repo}", hub.owner_of(repo)?),
    };
    let id = checked_id(&repo, revision)?;
    hub.check_push(&id)?;
    Ok(id)
}

fn checked_id(repo: &str, revision: &str) -> Result<HubId> {
    let id = Some(repo).filter(|repo| !repo.contains('@'));
    let id = id.and_then(|repo| HubId::parse(&format!("{repo}@{revision}")));
    id.ok_or_else(|| match HubId::parse(repo) {
        Some(id) if id.repo == repo => {
            Error::invalid("revision", format!("`{revision}` is not the name of a branch"))
        }
        _ => Error::invalid(
            repo,
            "is not the name of a repository on the hub; expected owner/name",
        ),
    })
}

/// The files of a saved model that are for others.
fn saved_files(folder: &Path) -> Result<Vec<LocalFile>> {
    let wrong = |problem: &str| Error::invalid(folder.display(), problem);
    if !folder.is_dir() {
        return Err(wrong(
            "is not a folder; expected the folder of a saved model (--gguf adds a GGUF file)",
        ));
    }
    files::recover(folder)?;
    let list = Manifest::read(folder)?.ok_or_else(|| {
        wrong(
            "holds no model that toolcall saved (there is no toolcall.json); make one with `toolcall export`",
        )
    })?;
    let has = |name: &str| list.files.contains_key(name);
    if !has(names::CONFIG) && !has(names::ADAPTER_CONFIG) {
        return Err(wrong("holds no model: its toolcall.json lists no config.json"));
    }
    let is_of_optimizer = |name: &String| name.starts_with(names::OPTIMIZER);
    if list.files.keys().any(is_of_optimizer) {
        return Err(wrong(
            "is a checkpoint, with the state of the optimizer; push the folder of the run, or make a model \
             of it with `toolcall export`",
        ));
    }
    list.verify(folder)?;
    if has(names::ADAPTER_CONFIG) {
        tell_base(folder)?;
    }
    let theirs = |name: &&String| !LOGS.contains(&name.as_str()) && *name != names::CARD;
    let mut files: Vec<LocalFile> = list
        .files
        .iter()
        .filter(|(name, _)| theirs(name))
        .map(|(name, entry)| LocalFile {
            name: name.clone(),
            path: folder.join(name),
            bytes: entry.bytes,
            sha256: entry.sha256.clone(),
        })
        .collect();
    let page = folder.join(names::CARD);
    if page.symlink_metadata().is_ok_and(|page| page.is_file()) {
        files.push(LocalFile::read(names::CARD, page)?);
    }
    Ok(files)
}

/// Prints a note if others cannot find the base model of an adapter.
fn tell_base(folder: &Path) -> Result<()> {
    let file = folder.join(names::ADAPTER_CONFIG);
    let text = std::fs::read(&file).map_err(Error::io(&file))?;
    let config: Value = serde_json::from_slice(&text).map_err(|e| Error::invalid(file.display(), e))?;
    let base = config["base_model_name_or_path"].as_str().unwrap_or_default();
    if HubId::parse(base).is_none() || Path::new(base).exists() {
        tell(format!(
            "note: adapter_config.json names {base} as the model that the adapter is for, which others do \
             not have; push a whole model (`toolcall export`), or train on a model of the hub"
        ));
    }
    Ok(())
}

/// Makes a GGUF file of the model, and its `Modelfile`, in a temporary folder.
fn export(folder: &Path, id: &HubId, dtype: Dtype) -> Result<TempDir> {
    let spec = folder
        .to_str()
        .ok_or_else(|| Error::invalid(folder.display(), "has a name that is not UTF-8"))?;
    let name = id.repo.rsplit('/').next().unwrap_or(&id.repo);
    let name = format!("{name}-{}.gguf", dtype.name().to_uppercase());
    let place = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
    tell(format!("exporting {name}"));
    let mut model = load(spec)?;
    model.merge();
    save_as(&model, place.path().join(name), dtype)?;
    Ok(place)
}

fn files_in(folder: &Path) -> Result<Vec<LocalFile>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files.push(LocalFile::read(name, &path)?);
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_an_owner_and_a_name_and_no_revision() {
        let id = checked_id("me/tuned", "v2").unwrap();
        assert_eq!((id.repo.as_str(), id.revision.as_str()), ("me/tuned", "v2"));
        for (repo, revision, says) in [
            ("tuned", "main", "expected owner/name"),
            ("me/tuned@v2", "main", "expected owner/name"),
            ("me/../x", "main", "expected owner/name"),
            ("me/tuned", "a b", "not the name of a branch"),
        ] {
            let error = checked_id(repo, revision).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
