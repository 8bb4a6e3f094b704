//! Settings of the push at the end of a run, under the names of transformers.

use crate::checkpoint::PushConfig;
use crate::error::{Error, Result};
use std::path::Path;

/// Destination of the saved model after a run, as far as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Push {
    /// True if the model is pushed: `push_to_hub`.
    pub wanted: Option<bool>,
    /// `owner/name`, or the name of a repository of the token's user: `hub_model_id`.
    pub repo: Option<String>,
    /// True to create a private repository: `hub_private_repo`; the default.
    pub private: Option<bool>,
    /// The branch: `hub_revision`.
    pub revision: Option<String>,
}

impl Push {
    /// Returns this, overridden by what `later` names.
    pub(super) fn with(self, later: Self) -> Self {
        Self {
            wanted: later.wanted.or(self.wanted),
            repo: later.repo.or(self.repo),
            private: later.private.or(self.private),
            revision: later.revision.or(self.revision),
        }
    }

    /// The repository and how to push to it; `None` if nothing is to be pushed. A repository
    /// without a name gets that of the folder `out`, as in transformers.
    ///
    /// # Errors
    /// The repository is not named, and the folder has no name either.
    pub fn target(&self, out: &Path) -> Result<Option<(String, PushConfig)>> {
        if self.wanted != Some(true) {
            return Ok(None);
        }
        let folder = std::path::absolute(out).map_err(Error::io(out))?;
        let folder = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let missing = "is missing, and push_to_hub is true; name the repository, owner/name";
        let repo = self.repo.clone().or(folder);
        let repo = repo.ok_or_else(|| Error::invalid("hub_model_id", missing))?;
        let usual = PushConfig::default();
        let config = PushConfig {
            private: self.private.unwrap_or(usual.private),
            revision: self.revision.clone().unwrap_or(usual.revision),
            ..usual
        };
        Ok(Some((repo, config)))
    }
}
