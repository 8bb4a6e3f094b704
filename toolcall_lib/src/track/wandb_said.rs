//! Settings of Weights & Biases that stand among those of a run.

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
    /// Nothing is written and nothing is sent.
    Disabled,
}

/// Settings that a run has itself, which count more than the environment.
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
