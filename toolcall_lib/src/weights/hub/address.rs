//! The address of the hub, and the place and rules for its files here.

use crate::error::{Error, Result};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Default of `HF_HUB_DOWNLOAD_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(30);

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
    /// The timeout is not a number of seconds.
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

    /// Returns the endpoint without the credentials that may be in it.
    pub(super) fn address(&self) -> String {
        shown(&self.endpoint).to_string()
    }
}

/// Returns the hub's address without the credentials in it, for people.
pub(super) fn shown(endpoint: &str) -> impl fmt::Display {
    split_credentials(endpoint).0
}

/// Splits `https://user:password@host` into `https://host` and `user:password`.
pub(super) fn split_credentials(endpoint: &str) -> (String, Option<&str>) {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (credentials, host) = match authority.rsplit_once('@') {
        Some((credentials, host)) => (Some(credentials), host),
        None => (None, authority),
    };
    let separator = if scheme.is_empty() { "" } else { "://" };
    (format!("{scheme}{separator}{host}{path}"), credentials)
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
