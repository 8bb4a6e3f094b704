//! Data sets on the hub: the names of their files, and the files that are asked for.

use super::cache::RepoCache;
use super::client::Client;
use super::{Hub, HubId, Kind};
use crate::error::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// Most bytes of the name of a file.
const LONGEST_NAME: usize = 1_000;
/// Most files that one call downloads.
const MOST_FILES: usize = 1_000;

/// A data set on the hub, at one commit.
#[derive(Clone, Debug)]
pub struct HubDataset {
    hub: Hub,
    id: HubId,
    commit: String,
    names: Vec<String>,
}

impl Hub {
    /// Lists the files of a data set. A data set that was listed before is taken from the cache,
    /// without a request.
    ///
    /// # Errors
    /// The data set does not exist or may not be read, the network is gone and the cache does not
    /// have it, or the hub names a file that would not stay in its folder.
    pub fn dataset(&self, id: &HubId) -> Result<HubDataset> {
        self.check(id)?;
        let cache = RepoCache::new(&self.cache, Kind::Dataset, id);
        let commit = cache.commit(&id.revision).unwrap_or_else(|| id.revision.clone());
        if let Some(names) = cache
            .names(&commit)
            .filter(|names| names.iter().all(|name| is_safe(name)))
        {
            return Ok(self.at(id, commit, names));
        }
        if self.offline {
            return Err(self.not_cached(id, "it"));
        }
        let client = Client::new(self).map_err(|problem| self.wrong(id, problem))?;
        let info = self.info(Kind::Dataset, id, &client)?;
        let names: Vec<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
        if let Some(name) = names.iter().find(|name| !is_safe(name)) {
            return Err(self.wrong(
                id,
                format!("the hub names the file `{name}`, which is not a path in a folder"),
            ));
        }
        cache
            .set_names(&info.sha, &names)
            .and_then(|()| cache.set_commit(&id.revision, &info.sha))
            .map_err(Error::io(&self.cache))?;
        Ok(self.at(id, info.sha, names))
    }

    fn at(&self, id: &HubId, commit: String, names: Vec<String>) -> HubDataset {
        HubDataset {
            hub: self.clone(),
            id: id.clone(),
            commit,
            names,
        }
    }
}

impl HubDataset {
    /// The paths of all files.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Some of the files, from the cache or downloaded. A download that breaks off is continued
    /// where it stopped, now or by the next call.
    ///
    /// # Errors
    /// A file does not exist or may not be read, or the network is gone and the cache does not have
    /// it.
    pub fn fetch(&self, names: &[String]) -> Result<Vec<PathBuf>> {
        let Self { hub, id, commit, .. } = self;
        if names.len() > MOST_FILES {
            let problem = format!(
                "{} files are asked for; expected at most {MOST_FILES}",
                names.len()
            );
            return Err(hub.wrong(id, problem));
        }
        let client = Client::new(hub).map_err(|problem| hub.wrong(id, problem))?;
        names
            .iter()
            .map(|name| hub.fetch(Kind::Dataset, id, &client, commit, name))
            .collect()
    }
}

/// Returns true for a name that stays in the folder of its data set, wherever that is.
fn is_safe(name: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let written =
        name.split('/').all(is_plain) && !name.contains('\\') && !name.chars().any(char::is_control);
    let mut parts = Path::new(name).components();
    written && name.len() <= LONGEST_NAME && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_stay_in_their_folder() {
        for name in [
            "README.md",
            "data/train-00000-of-00001.parquet",
            "a b/é.json",
            ".gitattributes",
        ] {
            assert!(is_safe(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../x",
            "a//b",
            "a/",
            "./a",
            "a\\b",
            "a\nb",
            &"a".repeat(2_000),
        ] {
            assert!(!is_safe(name), "{name}");
        }
    }
}
