//! Selection of the linear layers to adapt, by PEFT's rules.
//!
//! A list of the seven known names selects those layers in every block. Other lists match full
//! names or their ends after a dot; a string is a regular expression for the full name. `check`
//! refuses a selection that names nothing, or anything but a linear layer of a block.

use crate::error::{Error, Result, some_of};
use crate::json::kind;
use crate::model::projection::TargetModule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::ops::Range;

/// Selection of the linear layers to adapt: modules of every block, or names in the model such as
/// `model.layers.0.self_attn.q_proj`.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetModules {
    /// The listed modules in every block.
    Modules(Vec<TargetModule>),
    /// Layers whose name is listed, or ends with `.` and a listed name.
    Names(Vec<String>),
    /// Layers whose whole name matches this regular expression.
    Regex(String),
}

impl TargetModules {
    /// Selects all linear layers of all blocks.
    pub fn all() -> Self {
        Self::Modules(TargetModule::ALL.to_vec())
    }

    /// Compiles the selection for questions by block and module.
    ///
    /// # Errors
    /// A regular expression that does not compile.
    pub(crate) fn selector(&self) -> Result<Selector<'_>> {
        let regex = match self {
            Self::Regex(pattern) => {
                let whole = format!(r"\A(?:{pattern})\z");
                let compiled = fancy_regex::Regex::new(&whole);
                Some(
                    compiled
                        .map_err(|e| Error::invalid("lora.target_modules", format!("`{pattern}`: {e}")))?,
                )
            }
            _ => None,
        };
        Ok(Selector { targets: self, regex })
    }

    /// Returns the names of the selected layers of these blocks.
    ///
    /// # Errors
    /// A regular expression that does not compile.
    pub(super) fn names(&self, blocks: Range<usize>) -> Result<Vec<String>> {
        let selector = self.selector()?;
        let of_block = |block| TargetModule::ALL.map(|module| (block, module));
        let all = blocks.flat_map(of_block);
        let chosen = all.filter(|(block, module)| selector.selects(*block, *module));
        Ok(chosen.map(|(block, module)| module.full_name(block)).collect())
    }

    /// Checks that every listed name selects a layer of a model with `blocks` blocks, and that
    /// none of its `other` modules is selected.
    ///
    /// # Errors
    /// A name without a layer, another module that is selected, an empty selection, or a regular
    /// expression that does not compile.
    pub(crate) fn check(&self, blocks: usize, other: &[String]) -> Result<()> {
        let selector = self.selector()?;
        let all: Vec<(usize, TargetModule)> = (0..blocks)
            .flat_map(|block| TargetModule::ALL.map(|module| (block, module)))
            .collect();
        // 1. Every listed name must select a layer by itself.
        let missed: Vec<String> = match self {
            Self::Names(names) => {
                let names_a_layer = |name: &str| {
                    all.iter()
                        .any(|(block, module)| is_named(name, &module.full_name(*block)))
                };
                let missed = names.iter().filter(|name| !names_a_layer(name));
                missed.map(|name| format!("`{name}`")).collect()
            }
            _ => Vec::new(),
        };
        if !missed.is_empty() {
            let problem = format!(
                "{} is not the name of a linear layer in a block; expected {}",
                some_of(&missed),
                choices()
            );
            return Err(Error::invalid("lora.target_modules", problem));
        }
        // 2. Nothing but layers of blocks may be selected.
        let selected: Vec<String> = other
            .iter()
            .filter(|name| selector.matches(name))
            .map(|name| format!("`{name}`"))
            .collect();
        if !selected.is_empty() {
            let problem = format!(
                "selects {}, but only the linear layers in blocks can be adapted; select nothing else",
                some_of(&selected)
            );
            return Err(Error::invalid("lora.target_modules", problem));
        }
        // 3. Something must be selected.
        match all
            .iter()
            .any(|(block, module)| selector.selects(*block, *module))
        {
            true => Ok(()),
            false => Err(Error::invalid(
                "lora.target_modules",
                format!(
                    "selects no layer; expected a list of names, or a regular expression that matches whole \
                        names such as {EXAMPLE}"
                ),
            )),
        }
    }
}

/// Returns true if a listed name is the full name, or its end after a dot.
fn is_named(listed: &str, full: &str) -> bool {
    full.strip_suffix(listed)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

const EXAMPLE: &str = "`model.layers.0.self_attn.q_proj`";

/// [`TargetModules`] with its regular expression compiled.
#[derive(Debug)]
pub(crate) struct Selector<'a> {
    targets: &'a TargetModules,
    regex: Option<fancy_regex::Regex>,
}

impl Selector<'_> {
    /// Returns true if a layer of a block is selected.
    pub fn selects(&self, block: usize, module: TargetModule) -> bool {
        match self.targets {
            TargetModules::Modules(modules) => modules.contains(&module),
            _ => self.matches(&module.full_name(block)),
        }
    }

    /// Matches a full name such as `model.layers.0.self_attn.q_proj`.
    fn matches(&self, name: &str) -> bool {
        match (self.targets, &self.regex) {
            (TargetModules::Names(names), _) => names.iter().any(|listed| is_named(listed, name)),
            (_, Some(regex)) => regex.is_match(name).unwrap_or(false),
            _ => false,
        }
    }
}

impl From<Vec<TargetModule>> for TargetModules {
    fn from(modules: Vec<TargetModule>) -> Self {
        Self::Modules(modules)
    }
}

impl JsonSchema for TargetModules {
    fn schema_name() -> Cow<'static, str> {
        "TargetModules".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "array"], "items": {"type": "string"}})
    }
}

impl Serialize for TargetModules {
    /// Writes it as PEFT does: a list of names, or a regular expression.
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Modules(modules) => modules.serialize(serializer),
            Self::Names(names) => names.serialize(serializer),
            Self::Regex(pattern) => pattern.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TargetModules {
    /// Reads `"all-linear"` in any case, another string as a regular expression, or a list of
    /// names. Known modules are sorted as in [`TargetModule::ALL`], in any order of the list,
    /// because PEFT writes a set.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let wrong = |place: String, found: &Value, expected: &str| {
            let problem = format!("{place}: found {}, expected {expected}", kind(found));
            D::Error::custom(problem)
        };
        let names = match Value::deserialize(deserializer)? {
            Value::String(word) if word.eq_ignore_ascii_case("all-linear") => return Ok(Self::all()),
            Value::String(pattern) => return Ok(Self::Regex(pattern)),
            Value::Array(names) => names,
            other => {
                let expected = "a list of names, or a regular expression";
                return Err(wrong("target_modules".into(), &other, expected));
            }
        };
        let name = |(index, name): (usize, Value)| match name {
            Value::String(name) => Ok(name),
            other => Err(wrong(format!("target_modules[{index}]"), &other, "a name")),
        };
        let names: Vec<String> = names
            .into_iter()
            .enumerate()
            .map(name)
            .collect::<std::result::Result<_, _>>()?;
        let known = |name: &&String| TargetModule::ALL.iter().any(|target| target.name() == *name);
        match names.iter().find(|name| !known(name) && !name.contains('.')) {
            Some(unknown) => {
                let problem = format!("target_modules: `{unknown}` is not known; expected {}", choices());
                Err(D::Error::custom(problem))
            }
            None if names.iter().all(|name| known(&name)) => {
                let chosen = |target: &TargetModule| names.iter().any(|name| name == target.name());
                Ok(Self::Modules(
                    TargetModule::ALL.into_iter().filter(chosen).collect(),
                ))
            }
            None => Ok(Self::Names(names)),
        }
    }
}

/// Lists the accepted values of `target_modules` for error messages.
pub(super) fn choices() -> String {
    let names = TargetModule::ALL.map(TargetModule::name).join(", ");
    format!("\"all-linear\" or some of {names}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn others() -> Vec<String> {
        let names = [
            "lm_head",
            "model.embed_tokens",
            "model.layers.0.input_layernorm",
            "model.norm",
        ];
        names.map(String::from).to_vec()
    }

    fn selected(json: Value, blocks: usize) -> Vec<String> {
        let targets: TargetModules = serde_json::from_value(json).unwrap();
        targets.check(blocks, &others()).unwrap();
        let selector = targets.selector().unwrap();
        let all = (0..blocks).flat_map(|block| TargetModule::ALL.map(|module| (block, module)));
        let found = all.filter(|(block, module)| selector.selects(*block, *module));
        found
            .map(|(block, module)| format!("{block}.{}", module.name()))
            .collect()
    }

    fn refused(json: Value) -> String {
        let read = serde_json::from_value::<TargetModules>(json);
        match read {
            Err(error) => error.to_string(),
            Ok(targets) => targets.check(2, &others()).unwrap_err().to_string(),
        }
    }

    #[test]
    fn a_name_is_whole_or_the_end_behind_a_dot() {
        assert_eq!(selected(json!(["self_attn.q_proj"]), 2), ["0.q_proj", "1.q_proj"]);
        assert_eq!(
            selected(json!(["model.layers.1.mlp.up_proj", "v_proj"]), 2),
            ["0.v_proj", "1.v_proj", "1.up_proj"]
        );
        assert!(refused(json!(["attn.q_proj"])).contains("`attn.q_proj` is not the name of a linear layer"));
        assert!(
            refused(json!(["q_proj", "model.layers.7.self_attn.q_proj"]))
                .contains("`model.layers.7.self_attn.q_proj` is not the name of")
        );
        assert!(refused(json!(["lm_head"])).contains("`lm_head` is not known"));
        assert_eq!(
            refused(json!(["q_proj", 5])),
            "target_modules[1]: found a number, expected a name"
        );
        assert!(refused(json!(5)).starts_with("target_modules: found a number, expected a list of names"));
    }

    #[test]
    fn the_last_layers_are_named_one_by_one() {
        let of = |target: Value, last: usize| {
            let settings = json!({"target_modules": target, "last_layers": last});
            let config: crate::LoraConfig = serde_json::from_value(settings).unwrap();
            config.of_layers(4)
        };
        let last = of(json!(["q_proj"]), 2).unwrap();
        let names = json!([
            "model.layers.2.self_attn.q_proj",
            "model.layers.3.self_attn.q_proj"
        ]);
        assert_eq!((json!(last.target_modules), last.last_layers), (names, None));
        assert_eq!(of(json!("all-linear"), 4).unwrap(), crate::LoraConfig::default());
        for (target, last, says) in [
            (
                json!("all-linear"),
                5,
                "5 is not a number of layers that the model has; expected 1 to 4",
            ),
            (
                json!(["model.layers.0.self_attn.q_proj"]),
                1,
                "selects nothing in the last 1 layers",
            ),
        ] {
            let error = of(target, last).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_text_is_a_regular_expression_for_whole_names() {
        let all = r"^model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)$";
        assert_eq!(selected(json!(all), 2).len(), 14);
        assert_eq!(selected(json!(r".*\.1\..*(?<!q)_proj"), 2).len(), 6);
        assert!(refused(json!("q_proj")).contains("selects no layer; expected a list of names"));
        assert!(refused(json!(".*")).contains("selects `lm_head`, `model.embed_tokens`, "));
        assert!(
            refused(json!(".*(norm|q_proj)")).contains(
                "selects `model.layers.0.input_layernorm`, `model.norm`, but only the linear layers"
            )
        );
        assert_eq!(selected(json!("ALL-Linear"), 1).len(), 7);
        assert!(refused(json!("(")).contains("`(`: "));
        assert_eq!(selected(json!("all-linear"), 1).len(), 7);
    }

    #[test]
    fn what_was_read_is_written() {
        for written in [
            json!(["q_proj", "up_proj"]),
            json!(["self_attn.q_proj", "v_proj"]),
            json!(".*q_proj"),
        ] {
            let targets: TargetModules = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(json!(targets), written);
        }
    }
}
