//! A row of the table: names, the tools that use them, and what they become.

use super::super::inputs::Input;
use super::super::read::Read;
use super::super::said::Said;
use serde_json::Value;
use std::fmt;

/// Tool that uses a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::train::settings) enum Peer {
    /// `TrainingArguments`, which TRL and LLaMA-Factory have too.
    Transformers,
    /// `SFTConfig`, and the arguments of TRL's scripts.
    Trl,
    /// Axolotl.
    Axolotl,
    /// LLaMA-Factory.
    LlamaFactory,
    /// mlx-lm.
    Mlx,
    /// PEFT's `LoraConfig`, also as `adapter_config.json`.
    Peft,
    /// Unsloth.
    Unsloth,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transformers => "transformers",
            Self::Trl => "TRL",
            Self::Axolotl => "Axolotl",
            Self::LlamaFactory => "LLaMA-Factory",
            Self::Mlx => "mlx-lm",
            Self::Peft => "PEFT",
            Self::Unsloth => "Unsloth",
        })
    }
}

/// Function that reads a value into settings, or returns a problem.
type ReadValue = fn(&mut Said, &Value) -> Read<()>;

/// The treatment of a name.
#[derive(Clone, Copy, Debug)]
pub(in crate::train::settings) enum Becomes {
    /// Our setting of the same name, with the same values.
    Same,
    /// Our setting of this name, with the same values.
    Renamed(&'static str),
    /// The settings that the string describes. The function reads them from the value.
    Value(&'static str, ReadValue),
    /// The same, for an input that the command line may name instead; then the name is noted.
    Input(Input, &'static str, ReadValue),
    /// Nothing, for this reason: it tunes the other engine.
    Note(&'static str),
    /// A refusal that says why and what to do, unless the value asks for nothing: null, false, 0,
    /// or empty.
    Refused(&'static str),
}

/// Names with the same treatment.
#[derive(Clone, Copy, Debug)]
pub(in crate::train::settings) struct Row {
    /// The names.
    pub names: &'static [&'static str],
    /// Tools that use them.
    pub peers: &'static [Peer],
    /// Their treatment.
    pub becomes: Becomes,
}

pub(super) const fn row(peers: &'static [Peer], names: &'static [&'static str], becomes: Becomes) -> Row {
    Row {
        names,
        peers,
        becomes,
    }
}
