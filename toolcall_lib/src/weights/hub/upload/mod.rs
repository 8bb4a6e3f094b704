//! A model to the hub: creates a repository, sends large files to its storage, and brings all of
//! them in with one commit.
//!
//! The hub is asked first what it has, so a push after an interrupted one sends only the rest, and
//! one that changes nothing makes no commit. The steps are those of `huggingface_hub`.

mod explain;
mod file;
mod repository;
mod request;
mod storage;

pub(crate) use file::LocalFile;

use super::client::{Client, Failure};
use super::retry::Patience;
use super::{Hub, HubId, Info, Kind, LONGEST_INFO};
use crate::error::{Result, tell};
use crate::files::names;
use crate::interrupt;
use file::unread;
use repository::Plan;
use request::{Push, unusable};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;

/// Longest name of an owner and a repository together, as the hub has it.
const LONGEST_NAME: usize = 96;

/// Settings of an upload.
pub(crate) struct Upload<'a> {
    /// True to create a private repository and refuse a public one.
    pub private: bool,
    /// The first line of the commit.
    pub message: &'a str,
}

/// Outcome of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The page of the model.
    pub url: String,
    /// The commit that has the files.
    pub commit: String,
    /// Files that were sent.
    pub uploaded: Vec<String>,
    /// Files whose content the hub had already.
    pub known: Vec<String>,
    /// Files that the `.gitignore` of the repository keeps out.
    pub ignored: Vec<String>,
}

impl fmt::Display for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, known) = (self.uploaded.len(), self.known.len());
        write!(
            f,
            "{} (commit {}: {sent} files sent, {known} were there)",
            self.url, self.commit
        )
    }
}

impl Hub {
    /// Makes sure, before any work, that something can be pushed to a repository.
    ///
    /// # Errors
    /// A repository cannot have the name, there is no token, or the hub is switched off.
    pub(crate) fn check_push(&self, id: &HubId) -> Result<()> {
        self.pusher(id).map(drop)
    }

    /// Asks the hub for the user of the token, who owns a repository `name` without an owner.
    ///
    /// # Errors
    /// There is no token or it is not accepted, or the hub cannot be asked.
    pub(crate) fn owner_of(&self, name: &str) -> Result<String> {
        let id = HubId {
            repo: name.to_string(),
            revision: "main".to_string(),
        };
        let client = self.client(&id)?;
        let ask = || {
            let answer = client.text("/api/whoami-v2", LONGEST_INFO)?;
            serde_json::from_slice(&answer).map_err(unusable)
        };
        let user: Result<User, Failure> = Patience::default().retry(ask);
        match user {
            Ok(user) => Ok(user.name),
            Err(failure) => Err(self.wrong(&id, explain::no_owner(self, name, failure))),
        }
    }

    /// Uploads files to a model's repository, which is created if there is none, in one commit.
    ///
    /// # Errors
    /// The errors of [`Hub::check_push`]; the hub refuses the token or a file, the repository is
    /// public and must not be, or the network is gone, after several tries.
    pub(crate) fn upload(&self, id: &HubId, files: &[LocalFile], how: &Upload<'_>) -> Result<Pushed> {
        let push = self.pusher(id)?;
        let explained = |what: &str, failure| explain::explain(self, id, what, failure);
        push.create(how.private)
            .map_err(|failure| explained("a new repository", failure))?;
        let head = push
            .head()
            .map_err(|failure| explained("the repository", failure))?;
        match (how.private, head.private) {
            (true, Some(false)) => return Err(self.wrong(id, explain::PUBLIC)),
            (false, Some(true)) => tell(format!("note: {id} is private on the hub, and stays so")),
            _ => {}
        }
        push.check_page(files)
            .map_err(|failure| explained(names::CARD, failure))?;
        push.push(files, how.message)
            .map_err(|failure| explained("the files", failure))
    }

    fn pusher<'a>(&'a self, id: &'a HubId) -> Result<Push<'a>> {
        self.check(id)?;
        if let Some(problem) = unfit(&id.repo) {
            return Err(self.wrong(id, problem));
        }
        let client = self.client(id)?;
        Ok(Push {
            hub: self,
            client,
            id,
        })
    }

    /// Returns a client with a token.
    fn client(&self, id: &HubId) -> Result<Client> {
        if self.offline {
            return Err(self.wrong(id, "nothing can be pushed while HF_HUB_OFFLINE is set; unset it"));
        }
        let client = Client::new(self).map_err(|problem| self.wrong(id, problem))?;
        match client.authorization {
            Some(_) => Ok(client),
            None => Err(self.wrong(id, explain::no_token(self))),
        }
    }
}

/// The hub's answer about the user of a token.
#[derive(Deserialize)]
struct User {
    name: String,
}

/// Why a repository cannot have this name, which is `owner/name`.
fn unfit(repo: &str) -> Option<&'static str> {
    let bad_end = |word: &str| word.starts_with(['-', '.']) || word.ends_with(['-', '.']);
    match () {
        () if repo.len() > LONGEST_NAME => Some("the hub takes names of at most 96 characters"),
        () if repo.contains("--") || repo.contains("..") => {
            Some("the hub takes no names with `--` or `..` in them")
        }
        () if repo.split('/').any(bad_end) => {
            Some("the hub takes no names that begin or end with `-` or `.`")
        }
        () if repo.ends_with(".git") || repo.ends_with(".ipynb") => {
            Some("the hub takes no names that end with `.git` or `.ipynb`")
        }
        () => None,
    }
}

impl Push<'_> {
    fn push(&self, files: &[LocalFile], message: &str) -> std::result::Result<Pushed, Failure> {
        let mut patience = Patience::default();
        let mut sent = BTreeSet::new();
        loop {
            let plan = self.plan(files)?;
            if plan.changed().next().is_none() {
                return Ok(self.pushed(&plan, self.info()?.sha, &sent));
            }
            self.store(&plan, &mut sent)?;
            let small = plan.changed().filter(|planned| !planned.large);
            sent.extend(small.map(|planned| planned.file.name.clone()));
            stop_if_asked()?;
            match self.commit(&plan, message) {
                // its answer may have been lost, not the commit: the next plan finds out
                Err(failure) if patience.allows(&failure) => {}
                Err(failure) => return Err(failure),
                Ok(commit) => return Ok(self.pushed(&plan, commit, &sent)),
            }
        }
    }

    fn pushed(&self, plan: &Plan<'_>, commit: String, sent: &BTreeSet<String>) -> Pushed {
        let tree = match self.id.revision.as_str() {
            "main" => String::new(),
            revision => format!("/tree/{revision}"),
        };
        let names = plan.0.iter().filter(|planned| !planned.ignored);
        let names = names.map(|planned| planned.file.name.clone());
        let (uploaded, known) = names.partition(|name| sent.contains(name));
        let ignored = plan.0.iter().filter(|planned| planned.ignored);
        Pushed {
            url: format!("{}/{}{tree}", self.hub.address(), self.id.repo),
            commit,
            uploaded,
            known,
            ignored: ignored.map(|planned| planned.file.name.clone()).collect(),
        }
    }

    /// Asks the hub about the repository at its revision.
    fn info(&self) -> std::result::Result<Info, Failure> {
        Patience::default().retry(|| self.hub.ask(Kind::Model, self.id, &self.client))
    }
}

/// Ends a push that the user wants to stop, which [`explain`] reports.
fn stop_if_asked() -> std::result::Result<(), Failure> {
    match interrupt::requested() {
        true => Err(Failure::Connection("stopped by the user".to_string())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_hub_refuses_are_refused_first() {
        for good in ["me/tuned", "me/tuned-v1.2", "my_org/A"] {
            assert_eq!(unfit(good), None, "{good}");
        }
        for bad in [
            "me/a--b",
            "me/a..b",
            "me/a-",
            "-me/a",
            "me/a.git",
            &format!("me/{}", "a".repeat(95)),
        ] {
            assert!(unfit(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn without_a_token_nothing_is_asked() {
        let hub = Hub::from_variables(|_| None).unwrap();
        let hub = Hub { token: None, ..hub };
        let error = hub.check_push(&HubId::parse("me/tuned").unwrap()).unwrap_err();
        assert!(error.to_string().contains("set HF_TOKEN"), "{error}");
    }
}
