//! The setting `report_to`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A tracker, as `report_to` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerName {
    /// TensorBoard's event files.
    Tensorboard,
    /// Weights & Biases.
    Wandb,
}

impl TrackerName {
    const ALL: [Self; 2] = [Self::Tensorboard, Self::Wandb];

    fn word(self) -> &'static str {
        match self {
            Self::Tensorboard => "tensorboard",
            Self::Wandb => "wandb",
        }
    }
}

impl fmt::Display for TrackerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The trackers of a run: `"tensorboard"`, `"wandb"`, a list of them, `"all"`, or `"none"`.
///
/// ```
/// use toolcall_lib::track::{ReportTo, TrackerName};
/// let both: ReportTo = serde_json::from_str(r#"["tensorboard", "wandb"]"#).unwrap();
/// assert_eq!(both.0, [TrackerName::Tensorboard, TrackerName::Wandb]);
/// assert!(serde_json::from_str::<ReportTo>(r#""mlflow""#).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportTo(pub Vec<TrackerName>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    One(String),
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for ReportTo {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "expected \"tensorboard\", \"wandb\", a list of them, \"all\" or \"none\"";
        let written =
            Written::deserialize(from).map_err(|_| D::Error::custom(format!("report_to: {EXPECTED}")))?;
        let words = match written {
            Written::One(word) => vec![word],
            Written::Many(words) => words,
        };
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["none"] => return Ok(Self::default()),
            ["all"] => return Ok(Self(TrackerName::ALL.to_vec())),
            _ => {}
        }
        let mut names = Vec::new();
        for word in words {
            let known = TrackerName::ALL.into_iter().find(|name| name.word() == word);
            let unknown = || D::Error::custom(format!("report_to: {word:?} is not supported; {EXPECTED}"));
            let name = known.ok_or_else(unknown)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self(names))
    }
}

impl JsonSchema for ReportTo {
    fn schema_name() -> Cow<'static, str> {
        "ReportTo".into()
    }

    /// A word or a list of words.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "array"]})
    }
}

impl Serialize for ReportTo {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let words: Vec<&str> = self.0.iter().map(|name| name.word()).collect();
        words.serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn every_way_to_write_it_is_read_and_others_are_refused_by_name() {
        let read = |value| from_value::<ReportTo>(value).map(|read| read.0);
        let all = TrackerName::ALL.to_vec();
        assert_eq!(read(json!("all")).unwrap(), all);
        assert_eq!(read(json!(["tensorboard", "wandb", "wandb"])).unwrap(), all);
        assert_eq!(read(json!("wandb")).unwrap(), [TrackerName::Wandb]);
        for none in [json!("none"), json!(["none"]), json!([])] {
            assert_eq!(read(none).unwrap(), []);
        }
        for (bad, named) in [
            (json!("mlflow"), "\"mlflow\" is not supported"),
            (json!(["wandb", "none"]), "\"none\" is not supported"),
            (json!(7), "report_to: expected"),
        ] {
            let said = read(bad).unwrap_err().to_string();
            assert!(said.contains(named), "{said}");
        }
        let both = ReportTo(all);
        assert_eq!(from_value::<ReportTo>(to_value(&both).unwrap()).unwrap(), both);
    }
}
