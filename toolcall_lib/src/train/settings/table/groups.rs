//! Values with their own names: Axolotl's data sets, and mlx-lm's parameters and schedules.

use super::super::read::{Read, boolean, list, number, object, text, whole, word, wrong};
use super::super::said::Said;
use super::inputs::{named_source, names, source, split};
use crate::data_source::DataSource;
use crate::weights::hub::HubId;
use serde_json::{Map, Value};
use std::path::Path;

/// Types of rows that are conversations.
const CONVERSATIONS: [&str; 3] = ["chat_template", "chat_template.default", "sharegpt"];

/// Names of readers that load files; any other `path` is that of the files' folder or repository.
const READERS: [&str; 4] = ["json", "csv", "parquet", "text"];

pub(super) fn sources_of(said: &mut Said, value: &Value) -> Read<Vec<DataSource>> {
    let mut sources = Vec::new();
    for (index, entry) in list(value)?.iter().enumerate() {
        let in_entry = |problem| format!("[{index}]: {problem}");
        let entry = object(entry).map_err(in_entry)?;
        if entry.get("type").is_some_and(|kind| is_one_of(kind, &["alpaca"])) {
            said.note(
                "Axolotl writes `### Instruction:` around such rows; here they get the model's template",
            );
        }
        sources.extend(sources_of_entry(&entry).map_err(in_entry)?);
    }
    Ok(sources)
}

fn sources_of_entry(entry: &Map<String, Value>) -> Read<Vec<DataSource>> {
    for (name, value) in entry.iter().filter(|(_, value)| !value.is_null()) {
        let expected = match name.as_str() {
            "path" | "data_files" | "name" | "split" | "revision" | "columns" => continue,
            "type" if is_one_of(value, &CONVERSATIONS) || is_one_of(value, &["alpaca"]) => continue,
            "type" => "chat_template: rows are conversations (`messages`)",
            "ds_type" if is_one_of(value, &["json", "jsonl", "parquet", "csv"]) => continue,
            "ds_type" => "json, parquet or csv",
            "roles_to_train" if is_assistant(&list(value)?) => continue,
            "roles_to_train" => "[\"assistant\"]; a message may have `train`",
            "train_on_eos" | "train_on_eot" if is_one_of(value, &["turn"]) => continue,
            "train_on_eos" | "train_on_eot" => "turn: the end of each turn that is trained",
            "message_field_training" if is_one_of(value, &["train"]) => continue,
            "message_field_training" => "train, the key that messages have for it",
            "field_messages" if is_one_of(value, &["messages", "conversations"]) => continue,
            "field_messages" => "messages or conversations",
            "field_tools" if is_one_of(value, &["tools"]) => continue,
            "field_tools" => "tools",
            "chat_template" if is_one_of(value, &["tokenizer_default"]) => continue,
            "chat_template" => "tokenizer_default: the template is the model's own",
            "message_field_role"
            | "message_field_content"
            | "message_property_mappings"
            | "roles"
            | "trust_remote_code"
            | "preprocess_shards" => continue, // readers of rows know the keys by themselves
            _ => return Err(format!("{name}: is not read; leave it out")),
        };
        return Err(format!("{name}: {}", wrong(value, expected)));
    }
    let given = |name: &str| entry.get(name).filter(|value| !value.is_null());
    let said = |name: &str| given(name).map(text).transpose();
    let sources: Vec<DataSource> = match (given("data_files"), said("path")?, said("revision")?) {
        (Some(files), path, None) => {
            let files = list(files)?;
            files
                .iter()
                .map(|file| source(&file_of(path.as_deref(), text(file)?)?))
                .collect::<Read<_>>()?
        }
        (Some(_), ..) => return Err("revision: files have none; leave it out".to_string()),
        (None, Some(path), None) => vec![named_source(&path)?],
        (None, Some(path), Some(revision)) => vec![named_source(&format!("{path}@{revision}"))?],
        (None, None, _) => return Err("has no `path`".to_string()),
    };
    let config = said("name")?;
    let split = given("split").map(split).transpose();
    let split = split.map_err(|problem| format!("split: {problem}"))?;
    let columns = given("columns").map(names).transpose();
    let columns = columns.map_err(|problem| format!("columns: {problem}"))?;
    let part = |source| DataSource {
        config: config.clone(),
        split: split.clone(),
        columns: columns.clone(),
        ..source
    };
    Ok(sources.into_iter().map(part).collect())
}

/// Returns the path of one of the `data_files` of `path`.
fn file_of(path: Option<&str>, file: String) -> Read<String> {
    let Some(place) = path.filter(|path| !READERS.contains(path)) else {
        return Ok(file);
    };
    let inside = Path::new(place).join(&file);
    match () {
        () if Path::new(&file).exists() => Ok(file),
        () if inside.exists() => Ok(inside.to_string_lossy().into_owned()),
        () if !Path::new(place).exists() && HubId::parse(place).is_some() => Err(format!(
            "data_files: files of {place} on the hub are chosen by `split` and `name` (the config), or download \
             {file} and name it as `path`"
        )),
        () => Ok(file),
    }
}

/// Returns true if only the assistant is trained.
fn is_assistant(roles: &[Value]) -> bool {
    !roles.is_empty() && roles.iter().all(|role| is_one_of(role, &["assistant", "gpt"]))
}

/// Default parts of a split that mlx-lm takes of a data set on the hub.
const MLX_SPLITS: [&str; 2] = ["train[:80%]", "train[-10%:]"];

/// Reads `{path: owner/name, train_split: train, valid_split: test, config: {name: CONFIG}}`, or a
/// list of them.
pub(super) fn hf_dataset(said: &mut Said, value: &Value) -> Read<()> {
    for (index, entry) in list(value)?.iter().enumerate() {
        let read = object(entry).and_then(|entry| hf_entry(said, &entry));
        read.map_err(|problem| format!("[{index}]: {problem}"))?;
    }
    Ok(())
}

fn hf_entry(said: &mut Said, entry: &Map<String, Value>) -> Read<()> {
    let (mut config, mut path) = (None, None);
    let mut splits = MLX_SPLITS.map(String::from);
    for (name, value) in entry.iter().filter(|(_, value)| !value.is_null()) {
        let read = match name.as_str() {
            // older files say `name` for the path
            "path" | "name" => text(value).map(|text| path = Some(text)),
            "train_split" => split(value).map(|split| splits[0] = split),
            "valid_split" => split(value).map(|split| splits[1] = split),
            "test_split" => Ok(()), // `test` is refused where it is asked for
            "config" => config_of(value).map(|name| config = name),
            _ => feature(name, value),
        };
        read.map_err(|problem| format!("{name}: {problem}"))?;
    }
    let path = path.ok_or("has no `path`; expected the name of a data set on the hub, owner/name")?;
    let source = named_source(&path)?;
    let part = |split: &String| DataSource {
        config: config.clone(),
        split: Some(split.clone()),
        ..source.clone()
    };
    let [train, valid] = &splits;
    said.inputs.data.push(part(train));
    said.inputs.validation.push(part(valid));
    said.inputs.validation_of_data = true;
    Ok(())
}

/// Keywords of `load_dataset`, of which the name of the config is read.
fn config_of(value: &Value) -> Read<Option<String>> {
    let keywords = object(value)?;
    let is_other = |name: &&String| !["name", "trust_remote_code"].contains(&name.as_str());
    match keywords.keys().find(is_other) {
        Some(other) => Err(format!("`{other}` is not read; expected `name`, the config")),
        None => keywords.get("name").map(text).transpose(),
    }
}

/// The column with the conversation, or a part of it; the reader knows their names.
pub(super) fn feature(name: &str, value: &Value) -> Read<()> {
    let columns: &[&str] = match name {
        "prompt_feature" => &["prompt"],
        "completion_feature" => &["completion"],
        "chat_feature" => &["messages", "conversations"],
        "text_feature" => return Err("rows of plain text are not read; expected conversations".to_string()),
        _ => {
            let expected = "path, train_split, valid_split, config or a feature";
            return Err(format!("is not known; expected {expected}"));
        }
    };
    match is_one_of(value, columns) {
        true => Ok(()),
        false => {
            let expected = format!("{}; rename the column", columns.join(" or "));
            Err(wrong(value, expected))
        }
    }
}

fn is_one_of(value: &Value, words: &[&str]) -> bool {
    word(value).is_ok_and(|word| words.contains(&word.as_str()))
}

pub(super) fn lora_parameters(said: &mut Said, value: &Value) -> Read<()> {
    said.asks_for_adapter = true;
    for (name, value) in &object(value)? {
        let read = match name.as_str() {
            "rank" => said.set("lora.r", value),
            "dropout" => said.set("lora.lora_dropout", value),
            "keys" => list(value).and_then(|keys| said.put("lora.target_modules", keys)),
            "scale" => number(value).map(|scale| said.scale = Some(scale)),
            "alpha" => {
                said.note("`alpha` is not read by mlx-lm either; `scale` counts");
                Ok(())
            }
            _ => Err("is not known; expected rank, scale, dropout or keys".to_string()),
        };
        read.map_err(|problem| format!("{name}: {problem}"))?;
    }
    Ok(())
}

pub(super) fn optimizer_config(said: &mut Said, value: &Value) -> Read<()> {
    for (optimizer, parameters) in &object(value)? {
        let parameters = object(parameters).map_err(|problem| format!("{optimizer}: {problem}"))?;
        if !parameters.is_empty() && !["adam", "adamw"].contains(&optimizer.as_str()) {
            return Err(format!("{optimizer}: is not supported; expected adam or adamw"));
        }
        for (name, value) in &parameters {
            let read = match name.as_str() {
                "betas" => betas(said, value),
                "eps" => said.set("adam_epsilon", value),
                "weight_decay" => said.set("weight_decay", value),
                "bias_correction" if boolean(value)? => {
                    said.open.bias_correction = true;
                    Ok(())
                }
                "bias_correction" => Err("false is not supported; moments are corrected".to_string()),
                _ => Err("is not known; expected betas, eps, weight_decay or bias_correction".to_string()),
            };
            read.map_err(|problem| format!("{optimizer}.{name}: {problem}"))?;
        }
    }
    Ok(())
}

fn betas(said: &mut Said, value: &Value) -> Read<()> {
    match list(value)?.as_slice() {
        [first, second] => {
            said.set("adam_beta1", first)?;
            said.set("adam_beta2", second)
        }
        _ => Err(wrong(value, "two numbers")),
    }
}

/// Share of the highest learning rate below which a rate counts as 0.
const SMALL: f64 = 0.01;

/// `{name: cosine_decay, arguments: [PEAK, STEPS, END], warmup: STEPS, warmup_init: RATE}`.
pub(super) fn lr_schedule(said: &mut Said, value: &Value) -> Read<()> {
    let schedule = object(value)?;
    let known = ["name", "arguments", "warmup", "warmup_init"];
    if let Some(name) = schedule.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("{name}: is not known; expected {}", known.join(", ")));
    }
    let name = word(schedule.get("name").unwrap_or(&Value::Null))?;
    let arguments = list(schedule.get("arguments").unwrap_or(&Value::Null))?;
    let (ours, peak, steps, end) = match (name.as_str(), arguments.as_slice()) {
        ("cosine_decay", [peak, steps]) => ("cosine", peak, steps, &Value::from(0)),
        ("cosine_decay", [peak, steps, end]) => ("cosine", peak, steps, end),
        ("linear_schedule", [peak, end, steps]) => ("linear", peak, steps, end),
        _ => return Err(
            "expected `cosine_decay` with [PEAK, STEPS, END] or `linear_schedule` with [PEAK, END, STEPS]"
                .to_string(),
        ),
    };
    let (peak, steps, end) = (number(peak)?, whole(steps)?, number(end)?);
    let warmup = schedule.get("warmup").map_or(Ok(0), whole)?;
    let begins = schedule.get("warmup_init").map_or(Ok(0.0), number)?;
    if !is_small(end, peak) || !is_small(begins, peak) {
        return Err("the learning rate rises from 0 and falls to 0; others are not supported".to_string());
    }
    said.put("lr_scheduler_type", ours)?;
    said.put("learning_rate", peak)?;
    said.put("warmup_steps", warmup)?;
    let all = steps
        .checked_add(warmup)
        .ok_or("too many steps together with those of `warmup`")?;
    said.falls_over = Some([steps, all]);
    Ok(())
}

/// Returns true if a rate is practically 0 compared with the highest.
fn is_small(rate: f64, highest: f64) -> bool {
    rate <= SMALL * highest
}
