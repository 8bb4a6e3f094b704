//! Settings of Weights & Biases that are among those of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mode of sending a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WandbMode {
    /// Sends a run while it goes on, and writes a file.
    #[default]
    Online,
    /// Writes a file only.
    Offline,
    /// Writes and sends nothing.
    Disabled,
}

/// The run's own settings, which override the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WandbSaid {
    /// The project.
    pub project: Option<String>,
    /// A user or a team.
    pub entity: Option<String>,
    /// The mode.
    pub mode: Option<WandbMode>,
    /// The id of the run.
    pub run_id: Option<String>,
}
