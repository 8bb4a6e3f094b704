//! Models on the Hugging Face hub, downloaded into the cache that all of its tools share.

use super::folder::{self, OPTIONAL, REQUIRED};
use super::safetensors::{INDEX, SINGLE, shards};
use crate::error::{Error, Result};
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Downloads that broke off are continued this often.
const CONTINUATIONS: u32 = 3;

/// A model on the hub, at a branch, a tag or a commit.
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

/// How the hub is reached, and where its files are kept.
#[derive(Clone)]
pub struct Hub {
    /// `https://huggingface.co`, or a mirror of it.
    pub endpoint: String,
    /// The folder that holds `models--owner--name` folders.
    pub cache: PathBuf,
    /// Access token, for private and gated models.
    pub token: Option<String>,
    /// Use the cache only.
    pub offline: bool,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "(set)");
        let Self {
            endpoint,
            cache,
            offline,
            ..
        } = self;
        write!(
            f,
            "Hub {{ endpoint: {endpoint:?}, cache: {cache:?}, token: {token:?}, offline: {offline} }}"
        )
    }
}

impl Hub {
    /// As the environment says, with the variables that all tools of the hub know: `HF_ENDPOINT`, `HF_HUB_CACHE` or `HF_HOME`,
    /// `HF_TOKEN` or the file that `hf auth login` wrote, and `HF_HUB_OFFLINE`.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
    }

    /// The same, from variables that `get` gives.
    pub(crate) fn from_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        let path = |name: &str| get(name).map(PathBuf::from);
        let user_cache =
            || path("XDG_CACHE_HOME").unwrap_or_else(|| path("HOME").unwrap_or_default().join(".cache"));
        let home = path("HF_HOME").unwrap_or_else(|| user_cache().join("huggingface"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = get("HF_TOKEN").or_else(|| std::fs::read_to_string(token_file).ok());
        let yes = |value: String| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str());
        Self {
            endpoint: get("HF_ENDPOINT")
                .unwrap_or_else(|| "https://huggingface.co".into())
                .trim_end_matches('/')
                .into(),
            cache: path("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")),
            token: token
                .map(|token| token.trim().to_string())
                .filter(|token| !token.is_empty()),
            offline: get("HF_HUB_OFFLINE").is_some_and(yes),
        }
    }

    /// The folder of a model: from the cache if it is complete there (then nothing is asked of the network), else downloaded.
    ///
    /// Only the files that we read are downloaded, the weights last. A download that breaks off is continued where it stopped,
    /// now or by the next call.
    ///
    /// # Errors
    /// The model does not exist or may not be read, or the network is gone and the cache is not complete.
    pub fn snapshot(&self, id: &HubId) -> Result<PathBuf> {
        match self.cached(id) {
            Some(folder) if folder::missing(&folder)?.is_empty() => Ok(folder),
            _ if self.offline => {
                let advice = "unset HF_HUB_OFFLINE, or give a model folder";
                Err(self.wrong(
                    id,
                    format!("is not complete in {}; {advice}", self.cache.display()),
                ))
            }
            _ => self.download(id),
        }
    }

    /// What the cache has of a model, complete or not.
    fn cached(&self, id: &HubId) -> Option<PathBuf> {
        let repo = self.cache.join(format!("models--{}", id.repo.replace('/', "--")));
        let commit = std::fs::read_to_string(repo.join("refs").join(&id.revision));
        let folder = repo
            .join("snapshots")
            .join(commit.as_deref().unwrap_or(&id.revision).trim());
        folder.is_dir().then_some(folder)
    }

    fn download(&self, id: &HubId) -> Result<PathBuf> {
        let cache = Cache::new(self.cache.clone());
        let builder = ApiBuilder::from_cache(cache.clone()).with_endpoint(self.endpoint.clone());
        let api = builder
            .with_token(self.token.clone())
            .build()
            .map_err(|e| self.explain(id, None, e))?;
        let repo =
            |revision: &str| Repo::with_revision(id.repo.clone(), RepoType::Model, revision.to_string());
        let info = api
            .repo(repo(&id.revision))
            .info()
            .map_err(|e| self.explain(id, None, e))?;
        // All files come from one commit, also if the branch moves on meanwhile.
        let commit = api.repo(repo(&info.sha));
        let folder = cache.repo(repo(&info.sha)).pointer_path(&info.sha);
        let there = |file: &str| info.siblings.iter().any(|sibling| sibling.rfilename == file);
        let weights = if there(SINGLE) { SINGLE } else { INDEX };
        let missing: Vec<&str> = REQUIRED
            .into_iter()
            .chain([weights])
            .filter(|file| !there(file))
            .collect();
        if !missing.is_empty() {
            let problem = format!(
                "this model has no {}, so it cannot be loaded from the hub",
                missing.join(", no ")
            );
            return Err(self.wrong(id, problem));
        }
        let small = REQUIRED.into_iter().chain(OPTIONAL).filter(|file| there(file));
        for file in small.chain([weights]) {
            self.fetch(id, &commit, &folder, file)?;
        }
        if weights == INDEX {
            for shard in shards(&folder.join(INDEX))? {
                self.fetch(id, &commit, &folder, &shard)?;
            }
        }
        cache
            .repo(repo(&id.revision))
            .create_ref(&info.sha)
            .map_err(Error::io(&self.cache))?;
        Ok(folder)
    }

    /// Downloads one file into the cache, unless it is there.
    fn fetch(&self, id: &HubId, commit: &ApiRepo, folder: &Path, file: &str) -> Result<()> {
        if folder.join(file).exists() {
            return Ok(());
        }
        let mut continuation = 0;
        while let Err(error) = commit.download(file) {
            if status(&error).is_some() || continuation == CONTINUATIONS {
                return Err(self.explain(id, Some(file), error));
            }
            std::thread::sleep(Duration::from_millis(200 << continuation));
            continuation += 1;
        }
        Ok(())
    }

    /// What went wrong, and what to do.
    fn explain(&self, id: &HubId, file: Option<&str>, error: ApiError) -> Error {
        let what = file.map_or("the model".to_string(), |file| format!("its file {file}"));
        let page = format!("{}/{}", self.endpoint, id.repo);
        let cache = self.cache.display();
        let problem = match status(&error) {
            Some(401 | 403) if self.token.is_some() => format!(
                "the hub refuses {what}: your HF_TOKEN has no access, or there is no such model; accept its terms at {page}"
            ),
            Some(401 | 403) => format!(
                "the hub refuses {what}: it is gated or private, or does not exist; accept its terms at {page}, \
                 and set HF_TOKEN to your access token"
            ),
            Some(404) => {
                format!(
                    "{page} does not have {what} at revision {}, and there is no folder of that name",
                    id.revision
                )
            }
            Some(416) => {
                format!("{what} was damaged on the way; delete the .part files in {cache} and try again")
            }
            Some(status) => format!("the hub answers with HTTP status {status} for {what}; try again later"),
            None => format!(
                "downloading {what} from {} failed ({error}), and it is not in {cache}; go online and try again \
                 (a download is continued), or give a model folder",
                self.endpoint
            ),
        };
        self.wrong(id, problem)
    }

    fn wrong(&self, id: &HubId, problem: impl fmt::Display) -> Error {
        Error::invalid(id, problem)
    }
}

/// The HTTP status that an error stands for; `None` if the connection failed.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Hub {
        let get = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_string())
        };
        Hub::from_variables(get)
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
