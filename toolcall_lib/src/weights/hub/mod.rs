//! Models and data sets on the Hugging Face hub, downloaded into the cache that all of its tools
//! share, and models that are uploaded.
//!
//! A hub, or a mirror that `HF_ENDPOINT` names, is a stranger. The token goes to it alone and not
//! to a storage that it redirects to. Its names of commits and files stay within the cache. A file
//! is there when it has the length that was announced and, if the hub announced one, the SHA-256.
//! Every wait has an end.

mod cache;
mod client;
mod dataset;
mod download;
mod kind;
mod upload;

pub use dataset::HubDataset;
pub use upload::Pushed;
pub(crate) use upload::{LocalFile, Upload};

use super::folder::{self, OPTIONAL, REQUIRED};
use super::safetensors::{INDEX, SINGLE, shards};
use crate::error::{Error, Result};
use cache::{RepoCache, is_commit};
use client::{Client, Failure, shown};
use kind::Kind;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Longest answer about a repository, in bytes: a name for each of its files.
const LONGEST_INFO: u64 = 1 << 24;
/// Longest wait where `HF_HUB_DOWNLOAD_TIMEOUT` says nothing.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A model or a data set on the hub, at a branch, a tag or a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubId {
    /// `owner/name`.
    pub repo: String,
    /// Branch, tag or commit; `main` if nothing else is asked for.
    pub revision: String,
}

impl HubId {
    /// Reads `owner/name` or `owner/name@revision`; `None` if `spec` has another form.
    pub fn parse(spec: &str) -> Option<Self> {
        let (repo, revision) = spec.split_once('@').unwrap_or((spec, "main"));
        let (owner, name) = repo.split_once('/')?;
        let is_word = |word: &str| {
            let mut letters = word.chars();
            letters
                .next()
                .is_some_and(|first| first.is_ascii_alphanumeric() || first == '_')
                && letters.all(|c| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c))
        };
        let words = [owner, name].into_iter().chain(revision.split('/'));
        words.into_iter().all(is_word).then(|| Self {
            repo: repo.to_string(),
            revision: revision.to_string(),
        })
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision.as_str() {
            "main" => write!(f, "{}", self.repo),
            revision => write!(f, "{}@{revision}", self.repo),
        }
    }
}

/// Address of the hub, and the place and rules for its files here.
#[derive(Clone)]
pub struct Hub {
    /// `https://huggingface.co`, or a mirror of it.
    pub endpoint: String,
    /// The folder that holds `models--owner--name` and `datasets--owner--name` folders.
    pub cache: PathBuf,
    /// Access token, for what is private or gated.
    pub token: Option<String>,
    /// True if only the cache is used.
    pub offline: bool,
    /// Longest wait for a connection, for an answer, and for the next bytes of one.
    pub timeout: Duration,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "(set)");
        f.debug_struct("Hub")
            .field("endpoint", &self.address())
            .field("cache", &self.cache)
            .field("token", &token)
            .field("offline", &self.offline)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl Hub {
    /// Reads the settings from the environment, by the variables that all tools of the hub know:
    /// `HF_ENDPOINT`, `HF_HUB_CACHE` or `HF_HOME`, `HF_TOKEN` or the file that `hf auth login`
    /// wrote, `HF_HUB_OFFLINE`, and `HF_HUB_DOWNLOAD_TIMEOUT`.
    ///
    /// # Errors
    /// The timeout is no number of seconds.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
    }

    /// Reads the settings from variables that `get` gives.
    pub(crate) fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let path = |name: &str| get(name).map(PathBuf::from);
        let user_cache =
            || path("XDG_CACHE_HOME").unwrap_or_else(|| path("HOME").unwrap_or_default().join(".cache"));
        let home = path("HF_HOME").unwrap_or_else(|| user_cache().join("huggingface"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = get("HF_TOKEN").or_else(|| std::fs::read_to_string(token_file).ok());
        let yes = |value: String| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str());
        Ok(Self {
            endpoint: get("HF_ENDPOINT")
                .unwrap_or_else(|| "https://huggingface.co".into())
                .trim_end_matches('/')
                .into(),
            cache: path("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")),
            token: token
                .map(|token| token.trim().to_string())
                .filter(|token| !token.is_empty()),
            offline: get("HF_HUB_OFFLINE").is_some_and(yes),
            timeout: get("HF_HUB_DOWNLOAD_TIMEOUT").map_or(Ok(TIMEOUT), |text| seconds(&text))?,
        })
    }

    /// Returns the folder of a model. If the cache has all of it, it asks nothing of the network;
    /// otherwise it downloads the rest.
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
        let weights = if there(SINGLE) { SINGLE } else { INDEX };
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
        let fetch = |file: &str| -> Result<()> {
            if folder.join(file).exists() {
                return Ok(());
            }
            let path = format!("/{}/resolve/{}/{file}", id.repo, info.sha);
            download::download(&client, cache, &path, &info.sha, file)
                .map_err(|failure| self.explain(Kind::Model, id, Some(file), failure))
        };
        let small = REQUIRED.into_iter().chain(OPTIONAL).filter(|file| there(file));
        small.chain([weights]).try_for_each(fetch)?;
        if weights == INDEX {
            shards(&folder.join(INDEX))?
                .iter()
                .try_for_each(|shard| fetch(shard))?;
        }
        cache
            .set_commit(&id.revision, &info.sha)
            .map_err(Error::io(&self.cache))?;
        Ok(folder)
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
            false => Err(Failure::Answer("the commit that it names is no hash".to_string())),
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

    /// Returns the endpoint without the credentials that may stand in it.
    fn address(&self) -> String {
        shown(&self.endpoint).to_string()
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

/// Reads `HF_HUB_DOWNLOAD_TIMEOUT`.
fn seconds(text: &str) -> Result<Duration> {
    let seconds = text
        .trim()
        .parse()
        .ok()
        .filter(|seconds| (1..=86_400).contains(seconds));
    let problem = || format!("`{text}` is not a number of seconds from 1 to 86400");
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| Error::invalid("HF_HUB_DOWNLOAD_TIMEOUT", problem()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn hub(variables: &[(&str, &str)]) -> Hub {
        let get = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_string())
        };
        Hub::from_variables(get).unwrap()
    }

    #[test]
    fn the_environment_says_where_the_hub_and_its_cache_are() {
        let usual = hub(&[("HOME", "/home/me")]);
        assert_eq!(usual.endpoint, "https://huggingface.co");
        assert_eq!(usual.cache, Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!((usual.token, usual.offline), (None, false));
        assert_eq!(
            hub(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]).cache,
            Path::new("/c/huggingface/hub")
        );
        assert_eq!(
            hub(&[("HF_HOME", "/hf"), ("HOME", "/h")]).cache,
            Path::new("/hf/hub")
        );
        assert_eq!(
            hub(&[("HF_HUB_CACHE", "/models"), ("HF_HOME", "/hf")]).cache,
            Path::new("/models")
        );
        let mirror = hub(&[
            ("HF_ENDPOINT", "https://mirror.example/"),
            ("HF_HUB_OFFLINE", "True"),
        ]);
        assert_eq!(
            (mirror.endpoint.as_str(), mirror.offline),
            ("https://mirror.example", true)
        );
        assert!(!hub(&[("HF_HUB_OFFLINE", "0")]).offline);
    }

    #[test]
    fn the_token_is_in_the_environment_or_in_the_file_of_the_login() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "from file\n").unwrap();
        let home = ("HF_HOME", home.path().to_str().unwrap());
        assert_eq!(hub(&[home]).token.as_deref(), Some("from file"));
        assert_eq!(
            hub(&[home, ("HF_TOKEN", " from env ")]).token.as_deref(),
            Some("from env")
        );
    }
}
