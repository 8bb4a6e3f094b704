//! Reading a Hugging Face model folder.

use super::ends::Ends;
use super::raw::{RawModel, license_name};
use super::{Dtype, gguf, safetensors};
use crate::config::ModelConfig;
use crate::error::{Error, Result, some_of};
use crate::files::names;
use crate::json;
use crate::template::token_text;
use crate::tokens::read_tokenizer;
use serde_json::{Map, Value};
use std::path::Path;
use tokenizers::Tokenizer;

/// Files that every model needs, besides its weights.
pub(super) const REQUIRED: [&str; 2] = [names::CONFIG, names::TOKENIZER];
/// Files that are read if they exist.
pub(super) const OPTIONAL: [&str; 6] = [
    names::GENERATION_CONFIG,
    names::TOKENIZER_CONFIG,
    names::SPECIAL_TOKENS_MAP,
    names::CHAT_TEMPLATE,
    names::PROCESSOR_CHAT_TEMPLATE,
    "additional_chat_templates/tool_use.jinja",
];

/// Checks that the folder has everything that a model needs; the error lists all that is missing.
pub(super) fn check(folder: &Path) -> Result<()> {
    let missing = missing(folder)?;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::invalid(folder.display(), describe(folder, &missing)))
    }
}

/// Lists the files that a model needs and the folder lacks.
pub(super) fn missing(folder: &Path) -> Result<Vec<String>> {
    let required = REQUIRED
        .into_iter()
        .filter(|file| !folder.join(file).is_file())
        .map(str::to_string);
    Ok(required.chain(safetensors::missing_weights(folder)?).collect())
}

fn describe(folder: &Path, missing: &[String]) -> String {
    let files = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let advice = match files.into_iter().find(|file| gguf::is_named(file)) {
        Some(file) => format!("; to load its GGUF file, give {}", file.display()),
        None => String::new(),
    };
    format!(
        "is not a complete model folder; missing: {}{advice}",
        some_of(missing)
    )
}

/// Tokenizer and chat templates of a model folder.
#[derive(Clone, Debug)]
pub struct TextFiles {
    /// Converts text to token ids.
    pub tokenizer: Tokenizer,
    /// Content of `tokenizer_config.json`; empty if there is none.
    pub tokenizer_config: Map<String, Value>,
    /// The Jinja chat template, if there is one.
    pub chat_template: Option<String>,
    /// Other chat templates, by name.
    pub additional_chat_templates: Vec<(String, String)>,
}

impl TextFiles {
    /// Reads the tokenizer and the chat templates of `folder`.
    ///
    /// # Errors
    /// A file is missing, damaged or too long.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(names::TOKENIZER);
        let tokenizer = read_tokenizer(&file)?;
        let mut tokenizer_config = special_tokens(folder, names::TOKENIZER_CONFIG)?;
        // Like transformers: the map dates from before the special tokens were part of the config.
        if !tokenizer_config.contains_key("added_tokens_decoder") {
            tokenizer_config.extend(special_tokens(folder, names::SPECIAL_TOKENS_MAP)?);
        }
        let (chat_template, additional_chat_templates) = chat_templates(folder, &tokenizer_config)?;
        Ok(Self {
            tokenizer,
            chat_template,
            additional_chat_templates,
            tokenizer_config,
        })
    }
}

/// Reads a folder, with the weights packed as `dtype`.
pub(super) fn read(folder: &Path, dtype: Dtype) -> Result<RawModel> {
    check(folder)?;
    let config_file = folder.join(names::CONFIG);
    let config_json = read_json(&config_file)?;
    let config = ModelConfig::from_json(&config_json, &config_file)?;
    let text = TextFiles::read(folder)?;
    let generation_config = optional_json(folder, names::GENERATION_CONFIG)?;
    let mut ends = Ends::of_tokenizer(&text.tokenizer, &text.tokenizer_config, folder);
    if let Some(config) = &generation_config {
        ends.add_named(config, &folder.join(names::GENERATION_CONFIG))?;
    }
    ends.add_named(&config_json, &config_file)?;
    let Ends {
        ids: eos_token_ids,
        notes,
    } = ends.within(config.vocab_size, folder);
    Ok(RawModel {
        weights: safetensors::read(folder, &config, dtype)?,
        origin: folder.display().to_string(),
        license: license(folder),
        config,
        tokenizer: text.tokenizer,
        tokenizer_config: text.tokenizer_config,
        chat_template: text.chat_template,
        additional_chat_templates: text.additional_chat_templates,
        tools: None,
        notes,
        generation_config,
        eos_token_ids,
    })
}

/// Most bytes of a text file besides the tokenizer.
const LONGEST: u64 = 64 << 20;

/// Reads a text file; refuses one that is too long.
fn text(file: &Path) -> Result<String> {
    let len = std::fs::metadata(file).map_err(Error::io(file))?.len();
    if len > LONGEST {
        let problem = format!("{len} bytes are too many; expected at most {LONGEST}");
        return Err(Error::invalid(file.display(), problem));
    }
    std::fs::read_to_string(file).map_err(Error::io(file))
}

/// Returns the licence in the front matter of a model's page; `None` if there is no page, or no
/// name of a licence in it.
fn license(folder: &Path) -> Option<String> {
    let page = text(&folder.join(names::CARD)).ok()?;
    let front = page.strip_prefix("---\n")?.split_once("\n---")?.0;
    let name = front.lines().find_map(|line| line.strip_prefix("license:"))?;
    license_name(name.trim().trim_matches(['"', '\'']))
}

fn read_json(file: &Path) -> Result<Map<String, Value>> {
    json::read_object(&text(file)?).map_err(|e| Error::invalid(file.display(), e))
}

fn optional_json(folder: &Path, name: &str) -> Result<Option<Map<String, Value>>> {
    let file = folder.join(name);
    if file.is_file() {
        read_json(&file).map(Some)
    } else {
        Ok(None)
    }
}

/// Reads a file with special tokens; empty if there is none.
fn special_tokens(folder: &Path, name: &str) -> Result<Map<String, Value>> {
    let tokens = optional_json(folder, name)?.unwrap_or_default();
    for key in ["bos_token", "eos_token"] {
        let token = tokens.get(key).unwrap_or(&Value::Null);
        if !token.is_null() && token_text(token).is_none() {
            let problem = format!(
                "{key}: found {}, expected a string, or an object with the string as `content`",
                json::kind(token)
            );
            return Err(Error::invalid(folder.join(name).display(), problem));
        }
    }
    Ok(tokens)
}

/// Returns the default template and the others by name, like transformers: the files
/// `chat_template.jinja` and `additional_chat_templates/NAME.jinja`, or else one or several
/// templates in `tokenizer_config.json`, or in `chat_template.json`.
fn chat_templates(folder: &Path, tokenizer_config: &Map<String, Value>) -> Result<Templates> {
    // 1. Separate files.
    let file = folder.join(names::CHAT_TEMPLATE);
    let default = match file.is_file() {
        true => Some(text(&file)?),
        false => None,
    };
    let additional = additional_templates(&folder.join(names::ADDITIONAL_CHAT_TEMPLATES))?;
    if default.is_some() || !additional.is_empty() {
        return Ok((default, additional));
    }
    // 2. Templates in the config of the tokenizer, or in the file of a processor.
    let of_tokenizer = tokenizer_config.get("chat_template").unwrap_or(&Value::Null);
    if !of_tokenizer.is_null() {
        return templates_in(of_tokenizer, &folder.join(names::TOKENIZER_CONFIG));
    }
    let of_processor = optional_json(folder, names::PROCESSOR_CHAT_TEMPLATE)?.unwrap_or_default();
    let of_processor = of_processor.get("chat_template").unwrap_or(&Value::Null);
    templates_in(of_processor, &folder.join(names::PROCESSOR_CHAT_TEMPLATE))
}

/// Reads the `chat_template` of `file`: one template, or several by name, as a list or an object,
/// in which one is called `default`.
fn templates_in(value: &Value, file: &Path) -> Result<Templates> {
    let wrong = |place: String, found: &Value, expected: &str| {
        let problem = format!("{place}: found {}, expected {expected}", json::kind(found));
        Error::invalid(file.display(), problem)
    };
    let named = |(i, entry): (usize, &Value)| {
        let text = |key: &str| {
            let place = || format!("chat_template[{i}].{key}");
            let text = entry[key].as_str().map(String::from);
            text.ok_or_else(|| wrong(place(), &entry[key], "a string"))
        };
        Ok((text("name")?, text("template")?))
    };
    let by_name = |(name, template): (&String, &Value)| {
        let text = template.as_str().map(|text| (name.clone(), text.to_string()));
        text.ok_or_else(|| wrong(format!("chat_template.{name}"), template, "a string"))
    };
    let mut entries: Templates = match value {
        Value::String(template) => (Some(template.clone()), Vec::new()),
        Value::Array(templates) => {
            let templates = templates.iter().enumerate().map(named);
            (None, templates.collect::<Result<_>>()?)
        }
        Value::Object(templates) => (None, templates.iter().map(by_name).collect::<Result<_>>()?),
        Value::Null => (None, Vec::new()),
        other => {
            let expected = "a string, a list of {\"name\": …, \"template\": …}, or an object with a template for each name";
            return Err(wrong("chat_template".into(), other, expected));
        }
    };
    if let Some(place) = entries.1.iter().position(|(name, _)| name == "default") {
        entries.0 = Some(entries.1.remove(place).1);
    }
    Ok(entries)
}

/// The default template, and the others by name.
type Templates = (Option<String>, Vec<(String, String)>);

fn additional_templates(folder: &Path) -> Result<Vec<(String, String)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut templates = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let file = entry.map_err(Error::io(folder))?.path();
        let name = file.file_stem().and_then(|stem| stem.to_str()).map(String::from);
        if let Some(name) = name.filter(|_| file.extension().is_some_and(|extension| extension == "jinja")) {
            templates.push((name, text(&file)?));
        }
    }
    templates.sort();
    Ok(templates)
}
