//! A model or a data set on the hub: its kind and its name.

use std::fmt;

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

/// A kind of repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    Dataset,
}

impl Kind {
    /// The word in addresses of the API, and in the names of the cache's folders.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }

    /// The path in front of `owner/name` in the addresses of pages and files.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
        }
    }

    /// The word for people.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "data set",
        }
    }
}
