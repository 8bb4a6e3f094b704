//! Reads the head of a data set's card, in YAML: the files of each split of each config.

use crate::error::{Error, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::Path;

/// A config: a part of a data set with its own columns.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Config {
    pub name: String,
    /// True for the config that is used if none is named.
    pub default: bool,
    /// The folder of its files; empty for all.
    pub folder: String,
    /// Splits with the patterns of their files; empty if the file names say it.
    pub splits: Vec<(String, Vec<String>)>,
}

/// Reads the configs at the head of the card `file`.
///
/// # Errors
/// The head is not YAML, or says something about the files that is not supported.
pub(super) fn read(file: &Path) -> Result<Vec<Config>> {
    let text = std::fs::read(file).map_err(Error::io(file))?;
    configs(&String::from_utf8_lossy(&text)).map_err(|problem| {
        let problem = format!("the head of the card cannot be read: {problem}");
        Error::invalid(file.display(), problem)
    })
}

fn configs(card: &str) -> std::result::Result<Vec<Config>, String> {
    let Some(head) = head(card) else {
        return Ok(Vec::new());
    };
    let head: Head = serde_saphyr::from_str(head).map_err(|problem| problem.to_string())?;
    let entries = head.configs.unwrap_or_default();
    entries.into_iter().map(Entry::config).collect()
}

/// Returns the YAML between two lines `---`. The first of them is the first line of the card.
fn head(card: &str) -> Option<&str> {
    let card = card.strip_prefix('\u{feff}').unwrap_or(card);
    let (first, rest) = card.split_once('\n')?;
    let mut start = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some(&rest[..start]).filter(|head| first.trim_end() == "---" && !head.trim().is_empty());
        }
        start += line.len();
    }
    None
}

#[derive(Deserialize)]
struct Head {
    configs: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    config_name: Option<String>,
    data_files: Option<Files>,
    data_dir: Option<String>,
    default: Option<bool>,
    sep: Option<IgnoredAny>,
    delimiter: Option<IgnoredAny>,
}

/// Files of a config: patterns, with their splits or without.
#[derive(Deserialize)]
#[serde(untagged)]
enum Files {
    One(String),
    Many(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Pattern(String),
    Split { split: String, path: Patterns },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Patterns {
    One(String),
    Many(Vec<String>),
}

impl Entry {
    fn config(self) -> std::result::Result<Config, String> {
        let name = self.config_name.unwrap_or_else(|| "default".to_string());
        if self.sep.is_some() || self.delimiter.is_some() {
            return Err(format!(
                "the config `{name}` has another delimiter than a comma, which is not supported"
            ));
        }
        let folder = self.data_dir.unwrap_or_default();
        Ok(Config {
            name,
            default: self.default.unwrap_or(false),
            folder: folder.trim_matches(['.', '/']).to_string(),
            splits: self.data_files.map_or_else(Vec::new, Files::splits),
        })
    }
}

impl Files {
    /// Patterns without a split are those of `train`.
    fn splits(self) -> Vec<(String, Vec<String>)> {
        let parts = match self {
            Self::One(pattern) => vec![Part::Pattern(pattern)],
            Self::Many(parts) => parts,
        };
        let mut splits: Vec<(String, Vec<String>)> = Vec::new();
        for part in parts {
            let (split, patterns) = match part {
                Part::Pattern(pattern) => ("train".to_string(), vec![pattern]),
                Part::Split { split, path } => (split, path.list()),
            };
            match splits.iter_mut().find(|(known, _)| *known == split) {
                Some((_, known)) => known.extend(patterns),
                None => splits.push((split, patterns)),
            }
        }
        splits
    }
}

impl Patterns {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(pattern) => vec![pattern],
            Self::Many(patterns) => patterns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(yaml: &str) -> std::result::Result<Vec<Config>, String> {
        configs(&format!("---\nlicense: mit\n{yaml}---\n# A card\n---\n"))
    }

    #[test]
    fn every_form_of_data_files_is_read() {
        let card = of(
            "configs:\n- config_name: one\n  data_files: \"a.json\"\n  default: true\n- config_name: many\n  \
            data_dir: ./sub/\n  data_files:\n  - split: train\n    path: [a-*.json, b.json]\n  - split: test\n    path: c.json\n\
            - config_name: bare\n  data_files: [x.csv, y.csv]\n- config_name: none\n  drop_labels: false\n",
        );
        let config = |name: &str, splits: &[(&str, &[&str])]| Config {
            name: name.into(),
            splits: splits
                .iter()
                .map(|(split, files)| {
                    (
                        split.to_string(),
                        files.iter().map(|file| file.to_string()).collect(),
                    )
                })
                .collect(),
            ..Config::default()
        };
        let expected = [
            Config {
                default: true,
                ..config("one", &[("train", &["a.json"])])
            },
            Config {
                folder: "sub".into(),
                ..config(
                    "many",
                    &[("train", &["a-*.json", "b.json"]), ("test", &["c.json"])],
                )
            },
            config("bare", &[("train", &["x.csv", "y.csv"])]),
            config("none", &[]),
        ];
        assert_eq!(card.unwrap(), expected);
    }

    #[test]
    fn cards_without_configs_have_none() {
        for card in [
            "",
            "# A card",
            "---\n---\n",
            "---\nlicense: mit",
            "text\n---\nconfigs: 1\n---\n",
        ] {
            assert_eq!(configs(card), Ok(Vec::new()), "{card}");
        }
        assert_eq!(of(""), Ok(Vec::new()));
        assert_eq!(of("configs:\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        assert!(of("configs: [\n").is_err());
        assert!(of("configs:\n- data_files:\n    a: {b: c}\n").is_err());
        assert!(
            of("configs:\n- sep: \";\"\n")
                .unwrap_err()
                .contains("another delimiter")
        );
    }
}
