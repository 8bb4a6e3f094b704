//! The one table of settings under other names, and the treatment of each name here.
//!
//! Reading uses this table, and `docs/settings.md` is made from it. A name means the same for every
//! user, so nobody has to tell whose file it is.

mod axolotl;
mod groups;
mod inputs;
mod llama_factory;
mod mlx;
mod transformers;
mod trl;
mod values;

use super::read::Read;
use super::said::Said;
use serde_json::Value;
use std::fmt;

/// Tool that uses a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
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
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transformers => "transformers",
            Self::Trl => "TRL",
            Self::Axolotl => "Axolotl",
            Self::LlamaFactory => "LLaMA-Factory",
            Self::Mlx => "mlx-lm",
        })
    }
}

/// Function that reads a value into settings, or returns a problem.
type ReadValue = fn(&mut Said, &Value) -> Read<()>;

/// The treatment of a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Becomes {
    /// Our setting of the same name, with the same values.
    Same,
    /// Our setting of this name, with the same values.
    Renamed(&'static str),
    /// The settings that the text describes. The function reads them from the value.
    Value(&'static str, ReadValue),
    /// Nothing, for this reason: it tunes the other engine.
    Note(&'static str),
    /// A refusal that says why and what to do, unless the value asks for nothing: null, false, 0,
    /// or empty.
    Refused(&'static str),
}

/// Names with the same treatment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The names.
    pub names: &'static [&'static str],
    /// Tools that use them.
    pub peers: &'static [Peer],
    /// Their treatment.
    pub becomes: Becomes,
}

const fn row(peers: &'static [Peer], names: &'static [&'static str], becomes: Becomes) -> Row {
    Row {
        names,
        peers,
        becomes,
    }
}

/// Returns all rows, those of a peer together.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    [
        transformers::ROWS,
        trl::ROWS,
        axolotl::ROWS,
        llama_factory::ROWS,
        mlx::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// Returns the row with this name.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    rows().find(|row| row.names.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::super::fields::field;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_name_stands_once_and_what_it_becomes_is_there() {
        let mut seen = HashSet::new();
        for row in rows() {
            assert!(!row.peers.is_empty() && !row.names.is_empty());
            for name in row.names {
                assert!(seen.insert(name), "{name} stands twice");
                assert!(!name.contains('-'), "{name}");
                match row.becomes {
                    Becomes::Same => assert!(field(name).is_some(), "{name}"),
                    Becomes::Renamed(ours) => {
                        assert!(field(ours).is_some() && field(name).is_none(), "{name} → {ours}");
                    }
                    Becomes::Value(text, _) | Becomes::Note(text) | Becomes::Refused(text) => {
                        assert!(text.len() > 3 && !text.contains(['|', '\n']), "{name}: {text}");
                    }
                }
            }
        }
    }
}
