//! The one table of settings under other names, and the treatment of each name here.
//!
//! Reading uses this table, and `docs/settings.md` is generated from it. A name has one meaning in
//! all tools, so the user does not have to say which tool a file is for.

mod axolotl;
mod groups;
mod inputs;
mod llama_factory;
mod mlx;
mod peft;
mod reasons;
mod row;
mod transformers;
mod trl;
mod values;

pub(super) use row::{Becomes, Peer, Row};

/// Returns all rows, those of a peer together.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    [
        transformers::ROWS,
        trl::ROWS,
        axolotl::ROWS,
        llama_factory::ROWS,
        mlx::ROWS,
        peft::ROWS,
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
                assert!(seen.insert(name), "duplicate {name}");
                assert!(!name.contains('-'), "{name}");
                match row.becomes {
                    Becomes::Same => assert!(field(name).is_some(), "{name}"),
                    Becomes::Renamed(ours) => {
                        assert!(field(ours).is_some() && field(name).is_none(), "{name} → {ours}");
                    }
                    Becomes::Value(text, _)
                    | Becomes::Input(_, text, _)
                    | Becomes::Note(text)
                    | Becomes::Refused(text) => {
                        assert!(text.len() > 3 && !text.contains(['|', '\n']), "{name}: {text}");
                    }
                }
            }
        }
    }
}
