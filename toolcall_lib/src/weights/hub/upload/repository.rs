//! The repository: creates it, asks what it has, and commits to it.

use super::request::{JSON, LINES};
use super::{LocalFile, Push, unusable};
use crate::files::names;
use crate::weights::hub::client::Failure;
use crate::weights::hub::retry::Patience;
use crate::weights::hub::{Info, is_commit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Files that the hub is asked about at a time.
const AT_A_TIME: usize = 256;

/// Destination of each file.
pub(super) struct Plan<'a>(pub Vec<Planned<'a>>);

pub(super) struct Planned<'a> {
    pub file: &'a LocalFile,
    /// True if it goes to the storage, and not into the commit itself.
    pub large: bool,
    /// True if the `.gitignore` of the repository keeps it out.
    pub ignored: bool,
    /// True if the newest commit has it as it is here.
    pub unchanged: bool,
}

impl<'a> Plan<'a> {
    /// Files that a commit has to bring in.
    pub fn changed(&self) -> impl Iterator<Item = &Planned<'a>> {
        self.0
            .iter()
            .filter(|planned| !planned.unchanged && !planned.ignored)
    }
}

/// Answer of the hub about a file that it is to get.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mode {
    path: String,
    upload_mode: UploadMode,
    #[serde(default)]
    should_ignore: bool,
    oid: Option<String>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum UploadMode {
    Lfs,
    Regular,
}

#[derive(Deserialize)]
struct Modes {
    files: Vec<Mode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Committed {
    commit_oid: String,
}

impl Push<'_> {
    /// Creates the repository, if there is none.
    pub fn create(&self, private: bool) -> Result<(), Failure> {
        let (organization, name) = self.id.repo.split_once('/').unwrap_or_default();
        let body = json!({"name": name, "organization": organization, "type": "model", "private": private});
        match self.post::<IgnoredAny>("/api/repos/create", &body) {
            Ok(_) | Err(Failure::Refused(409, _)) => Ok(()),
            // a token that may not make repositories may still write to one
            Err(refused @ Failure::Refused(401..=403, _)) => self.info().map(drop).map_err(|_| refused),
            Err(failure) => Err(failure),
        }
    }

    /// Asks the hub for the head of the revision. Creates a missing branch.
    pub fn head(&self) -> Result<Info, Failure> {
        let revision = &self.id.revision;
        match self.info() {
            Err(Failure::Status(404)) if revision != "main" && !revision.starts_with("refs/") => {
                let branch = self.path("branch");
                match self.post::<IgnoredAny>(&branch, &json!({})) {
                    Ok(_) | Err(Failure::Refused(409, _)) => self.info(),
                    Err(failure) => Err(failure),
                }
            }
            other => other,
        }
    }

    /// Asks the hub to check the head of the page, which it would refuse after everything was sent.
    pub fn check_page(&self, files: &[LocalFile]) -> Result<(), Failure> {
        let Some(page) = files.iter().find(|file| file.name == names::CARD) else {
            return Ok(());
        };
        let content = String::from_utf8_lossy(&page.content()?).into_owned();
        let body = json!({"content": content, "repoType": "model"});
        match self.post::<IgnoredAny>("/api/validate-yaml", &body) {
            Err(Failure::Refused(404 | 405 | 501, _)) => Ok(()), // a mirror that does not check
            outcome => outcome.map(drop),
        }
    }

    /// Asks where each file belongs, and which of them are there.
    pub fn plan<'a>(&self, files: &'a [LocalFile]) -> Result<Plan<'a>, Failure> {
        let mut planned = Vec::new();
        for files in files.chunks(AT_A_TIME) {
            let asked: Vec<Value> = files.iter().map(described).collect::<Result<_, _>>()?;
            let answer: Modes = self.post(&self.path("preupload"), &json!({"files": asked}))?;
            let mut modes: BTreeMap<String, Mode> = answer
                .files
                .into_iter()
                .map(|mode| (mode.path.clone(), mode))
                .collect();
            for file in files {
                let mode = modes.remove(&file.name);
                let mode = mode.ok_or_else(|| unusable(format!("it says nothing about {}", file.name)))?;
                planned.push(decided(file, &mode)?);
            }
        }
        Ok(Plan(planned))
    }

    /// Commits all changes at once, and returns the commit.
    pub fn commit(&self, plan: &Plan<'_>, message: &str) -> Result<String, Failure> {
        let header = json!({"key": "header", "value": {"summary": message, "description": ""}});
        let mut lines = format!("{header}\n");
        for planned in plan.changed() {
            lines += &format!("{}\n", line(planned)?);
        }
        let path = self.path("commit");
        let committed: Committed = self.client.post(&path, LINES, lines.as_bytes())?;
        match is_commit(&committed.commit_oid) {
            true => Ok(committed.commit_oid),
            false => Err(unusable("the commit that it names is not a hash")),
        }
    }

    /// Sends JSON, with retries: the hub may get these requests twice.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        let body = body.to_string();
        Patience::default().retry(|| self.client.post(path, JSON, body.as_bytes()))
    }

    /// The path of the API for something that is done at the revision.
    fn path(&self, action: &str) -> String {
        let revision = self.id.revision.replace('/', "%2F");
        format!("/api/models/{}/{action}/{revision}", self.id.repo)
    }
}

fn described(file: &LocalFile) -> Result<Value, Failure> {
    let sample = STANDARD.encode(file.sample()?);
    Ok(json!({"path": file.name, "sample": sample, "size": file.bytes}))
}

fn decided<'a>(file: &'a LocalFile, mode: &Mode) -> Result<Planned<'a>, Failure> {
    let large = mode.upload_mode == UploadMode::Lfs && file.bytes > 0; // no storage takes an empty file
    let unchanged = match (&mode.oid, large) {
        (None, _) => false,
        (Some(there), true) => *there == file.sha256,
        (Some(there), false) => *there == file.git_id()?,
    };
    Ok(Planned {
        file,
        large,
        ignored: mode.should_ignore,
        unchanged,
    })
}

/// A file of a commit: its content, or what its content in the storage is known by.
fn line(planned: &Planned<'_>) -> Result<Value, Failure> {
    let file = planned.file;
    Ok(match planned.large {
        true => json!({"key": "lfsFile", "value": {
            "path": file.name, "algo": "sha256", "oid": file.sha256, "size": file.bytes,
        }}),
        false => json!({"key": "file", "value": {
            "content": STANDARD.encode(file.content()?), "path": file.name, "encoding": "base64",
        }}),
    })
}
