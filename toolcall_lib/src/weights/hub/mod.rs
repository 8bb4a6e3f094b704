//! Models and data sets on the Hugging Face hub, downloaded into the cache that all of its tools
//! share, and models that are uploaded.
//!
//! A hub, or a mirror that `HF_ENDPOINT` names, is not trusted. The token is sent to it only, never
//! to a storage that it redirects to. Its names of commits and files stay within the cache. A file
//! appears once it has the announced length and, if the hub announced one, the announced SHA-256.
//! Every wait has a limit.

mod address;
mod cache;
mod client;
mod dataset;
mod download;
mod id;
mod retry;
mod upload;

pub use address::Hub;
pub use dataset::HubDataset;
pub use id::HubId;
pub use upload::Pushed;
pub(crate) use upload::{LocalFile, Upload};

use super::folder::{self, OPTIONAL, REQUIRED};
use super::safetensors::shards;
use crate::error::{Error, Result};
use crate::files::names::{WEIGHTS, WEIGHTS_INDEX};
use cache::{RepoCache, is_commit};
use client::{Client, Failure};
use id::Kind;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// Longest answer about a repository, in bytes: a name for each of its files.
const LONGEST_INFO: u64 = 1 << 24;

/// Characters of a name that are encoded in a URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

impl Hub {
    /// Returns the folder of a model. If the cache has all of it, no request is sent; otherwise the
    /// rest is downloaded.
    ///
    /// It downloads only the files that we read, the weights last. A download that breaks off is
    /// continued where it stopped, now or by the next call.
    ///
    /// # Errors
    /// The model does not exist or may not be read, or the network is gone and the cache is not
    /// complete.
    pub fn snapshot(&self, id: &HubId) -> Result<PathBuf> {
        self.check(id)?;
        let cache = RepoCache::new(&self.cache, Kind::Model, id);
        let commit = cache.commit(&id.revision).unwrap_or_else(|| id.revision.clone());
        let folder = cache.snapshot(&commit);
        if folder.is_dir() && folder::missing(&folder)?.is_empty() {
            return Ok(folder);
        }
        if self.offline {
            let advice = "unset HF_HUB_OFFLINE, or give a model folder";
            let problem = format!("is not complete in {}; {advice}", self.cache.display());
            return Err(self.wrong(id, problem));
        }
        self.download(id, &cache)
    }

    fn download(&self, id: &HubId, cache: &RepoCache) -> Result<PathBuf> {
        let client = Client::new(self).map_err(|problem| self.wrong(id, problem))?;
        let info = self.info(Kind::Model, id, &client)?;
        let folder = cache.snapshot(&info.sha); // all files come from one commit, also if the branch moves on meanwhile
        let there = |file: &str| info.siblings.iter().any(|sibling| sibling.rfilename == file);
        let weights = if there(WEIGHTS) { WEIGHTS } else { WEIGHTS_INDEX };
        let missing: Vec<&str> = REQUIRED
            .into_iter()
            .chain([weights])
            .filter(|file| !there(file))
            .collect();
        if !missing.is_empty() {
            let missing = missing.join(", no ");
            let problem = format!("this model has no {missing}, so it cannot be loaded from the hub");
            return Err(self.wrong(id, problem));
        }
        let fetch = |file: &str| self.fetch(Kind::Model, id, &client, &info.sha, file).map(drop);
        let small = REQUIRED.into_iter().chain(OPTIONAL).filter(|file| there(file));
        small.chain([weights]).try_for_each(fetch)?;
        if weights == WEIGHTS_INDEX {
            shards(&folder.join(WEIGHTS_INDEX))?
                .iter()
                .try_for_each(|shard| fetch(shard))?;
        }
        cache
            .set_commit(&id.revision, &info.sha)
            .map_err(Error::io(&self.cache))?;
        Ok(folder)
    }

    /// Returns a file of a commit, from the cache or downloaded.
    fn fetch(&self, kind: Kind, id: &HubId, client: &Client, commit: &str, file: &str) -> Result<PathBuf> {
        let cache = RepoCache::new(&self.cache, kind, id);
        let place = cache.snapshot(commit).join(file);
        if place.exists() {
            return Ok(place);
        }
        if self.offline {
            return Err(self.not_cached(id, &format!("its file {file}")));
        }
        let encoded = utf8_percent_encode(file, ENCODED);
        let path = format!("/{}{}/resolve/{commit}/{encoded}", kind.prefix(), id.repo);
        download::download(client, &cache, &path, commit, file)
            .map_err(|failure| self.explain(kind, id, Some(file), failure))?;
        Ok(place)
    }

    fn not_cached(&self, id: &HubId, what: &str) -> Error {
        let cache = self.cache.display();
        let problem = format!("{what} is not in {cache}; unset HF_HUB_OFFLINE, or give files that are here");
        self.wrong(id, problem)
    }

    /// Refuses an id of another form: it becomes a path of the hub and of the cache.
    fn check(&self, id: &HubId) -> Result<()> {
        match HubId::parse(&id.to_string()).as_ref() == Some(id) {
            true => Ok(()),
            false => Err(self.wrong(id, "is not a hub id; expected owner/name or owner/name@revision")),
        }
    }

    /// Asks the hub about a repository at its revision.
    fn info(&self, kind: Kind, id: &HubId, client: &Client) -> Result<Info> {
        self.ask(kind, id, client)
            .map_err(|failure| self.explain(kind, id, None, failure))
    }

    fn ask(&self, kind: Kind, id: &HubId, client: &Client) -> std::result::Result<Info, Failure> {
        let (kind, revision) = (kind.plural(), id.revision.replace('/', "%2F"));
        let answer = client.text(
            &format!("/api/{kind}/{}/revision/{revision}", id.repo),
            LONGEST_INFO,
        )?;
        let info: Info = serde_json::from_slice(&answer).map_err(|e| Failure::Answer(e.to_string()))?;
        match is_commit(&info.sha) {
            true => Ok(info),
            false => Err(Failure::Answer(
                "the commit that it names is not a hash".to_string(),
            )),
        }
    }

    /// Explains what went wrong, and what to do.
    fn explain(&self, kind: Kind, id: &HubId, file: Option<&str>, failure: Failure) -> Error {
        let noun = kind.noun();
        let what = file.map_or(format!("the {noun}"), |file| format!("its file {file}"));
        let page = format!("{}/{}{}", self.address(), kind.prefix(), id.repo);
        let cache = self.cache.display();
        let retry = |problem: &str| {
            format!(
                "downloading {what} from {} failed ({problem}), and it is not in {cache}; go online and try again \
                 (a download is continued), or give a {noun} that is here",
                self.address()
            )
        };
        let problem = match failure {
            Failure::Status(401 | 403) if self.token.is_some() => format!(
                "the hub refuses {what}: your HF_TOKEN has no access, or there is no such {noun}; accept its terms at {page}"
            ),
            Failure::Status(401 | 403) => format!(
                "the hub refuses {what}: it is gated or private, or does not exist; accept its terms at {page}, \
                 and set HF_TOKEN to your access token"
            ),
            Failure::Status(404) => {
                let revision = &id.revision;
                format!(
                    "{page} does not have {what} at revision {revision}, and there is no folder of that name"
                )
            }
            Failure::Status(status) | Failure::Refused(status, _) => {
                format!("the hub answers with HTTP status {status} for {what}; try again later")
            }
            Failure::Storage(host, status) => retry(&format!("{host} answers with HTTP status {status}")),
            Failure::Connection(problem) => retry(&problem),
            Failure::Answer(problem) => format!(
                "the answer of {} about {what} cannot be used: {problem}; if HF_ENDPOINT names a mirror, try without it",
                self.address()
            ),
            Failure::Cache(place, error) => return Error::io(place)(error),
        };
        self.wrong(id, problem)
    }

    fn wrong(&self, id: &HubId, problem: impl fmt::Display) -> Error {
        Error::invalid(id, problem)
    }
}

/// The hub's answer about a repository: its commit and the names of its files.
#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
    /// True if nobody else sees it; `None` if the hub does not say.
    private: Option<bool>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}
