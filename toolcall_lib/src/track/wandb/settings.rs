//! Settings of the official client, read from its environment variables.

use crate::track::folder_of;
use crate::track::wandb_said::{WandbMode, WandbSaid};
use std::env;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Destination of runs, and the settings for sending them.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `WANDB_MODE`.
    pub mode: WandbMode,
    /// `WANDB_API_KEY`.
    pub key: Option<String>,
    /// `WANDB_BASE_URL`.
    pub base_url: String,
    /// `WANDB_PROJECT`; "huggingface", as transformers has it.
    pub project: String,
    /// `WANDB_ENTITY`: a user or a team; `None`: that of the key.
    pub entity: Option<String>,
    /// `WANDB_NAME`; the setting `run_name` overrides it.
    pub name: Option<String>,
    /// `WANDB_RUN_ID`; `None`: a new one.
    pub run_id: Option<String>,
    /// `WANDB_DIR`: the folder `wandb` in it has the run files. None: the working directory.
    pub folder: PathBuf,
    /// `WANDB_HTTP_TIMEOUT`: longest time for a request.
    pub timeout: Duration,
    /// Longest wait at the end of a run for data that is not sent yet.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: WandbMode::Online,
            key: None,
            base_url: "https://api.wandb.ai".to_string(),
            project: "huggingface".to_string(),
            entity: None,
            name: None,
            run_id: None,
            folder: PathBuf::new(),
            timeout: Duration::from_secs(20),
            patience: Duration::from_secs(15),
        }
    }
}

impl Settings {
    /// Reads the settings from the environment.
    pub fn from_environment() -> Self {
        Self {
            folder: folder_of("WANDB_DIR").unwrap_or_default(),
            ..Self::read(|name| env::var(name).ok())
        }
    }

    /// Returns these settings, overridden by the run's own.
    pub(in crate::track) fn with(self, said: &WandbSaid) -> Self {
        Self {
            mode: said.mode.unwrap_or(self.mode),
            project: said.project.clone().unwrap_or(self.project),
            entity: said.entity.clone().or(self.entity),
            run_id: said.run_id.clone().or(self.run_id),
            ..self
        }
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| {
            let value = variable(name)?.trim().to_string();
            Some(value).filter(|value| !value.is_empty())
        };
        let is_off = text("WANDB_DISABLED").is_some_and(|word| is_true(&word));
        let mode = match text("WANDB_MODE").as_deref() {
            _ if is_off => WandbMode::Disabled,
            Some("disabled") => WandbMode::Disabled,
            Some("offline" | "dryrun") => WandbMode::Offline,
            _ => WandbMode::Online,
        };
        let seconds = text("WANDB_HTTP_TIMEOUT").and_then(|text| text.parse().ok());
        let default = Self::default();
        Self {
            mode,
            key: text("WANDB_API_KEY"),
            base_url: text("WANDB_BASE_URL").unwrap_or(default.base_url),
            project: text("WANDB_PROJECT").unwrap_or(default.project),
            entity: text("WANDB_ENTITY"),
            name: text("WANDB_NAME"),
            run_id: text("WANDB_RUN_ID").filter(|id| is_id(id)),
            timeout: seconds
                .filter(|&seconds| seconds > 0)
                .map_or(default.timeout, Duration::from_secs),
            ..default
        }
    }
}

/// Returns true for the words that the official client reads as true.
fn is_true(word: &str) -> bool {
    ["1", "t", "true", "y", "yes", "on"].contains(&word.to_lowercase().as_str())
}

/// Returns true for an id that can be the name of a file and a part of addresses.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

impl fmt::Debug for Settings {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mode,
            base_url,
            project,
            ..
        } = self;
        write!(
            f,
            "Settings {{ mode: {mode:?}, base_url: {base_url:?}, project: {project:?} }}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Settings {
        Settings::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn a_run_says_more_than_the_environment() {
        let environment = read(&[("WANDB_PROJECT", "calls"), ("WANDB_ENTITY", "me")]);
        let said = WandbSaid {
            project: Some("timers".into()),
            mode: Some(WandbMode::Offline),
            ..WandbSaid::default()
        };
        let both = environment.with(&said);
        assert_eq!(
            (both.project.as_str(), both.entity.as_deref()),
            ("timers", Some("me"))
        );
        assert_eq!((both.mode, both.run_id), (WandbMode::Offline, None));
    }

    #[test]
    fn the_variables_are_those_of_the_official_client() {
        assert_eq!(read(&[]), Settings::default());
        let all = read(&[
            ("WANDB_API_KEY", " secret\n"),
            ("WANDB_PROJECT", "calls"),
            ("WANDB_ENTITY", "me"),
            ("WANDB_MODE", "offline"),
            ("WANDB_HTTP_TIMEOUT", "3"),
            ("WANDB_NAME", ""),
            ("WANDB_RUN_ID", "../x"),
        ]);
        assert_eq!(all.key.as_deref(), Some("secret"));
        assert_eq!(
            (all.project.as_str(), all.entity.as_deref()),
            ("calls", Some("me"))
        );
        assert_eq!(
            (all.mode, all.timeout),
            (WandbMode::Offline, Duration::from_secs(3))
        );
        assert_eq!((all.name.as_deref(), all.run_id.as_deref()), (None, None));
        assert_eq!(read(&[("WANDB_DISABLED", "True")]).mode, WandbMode::Disabled);
        assert_eq!(read(&[("WANDB_MODE", "disabled")]).mode, WandbMode::Disabled);
        assert!(!format!("{all:?}").contains("secret"));
    }
}
