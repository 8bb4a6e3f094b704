//! Values with names of their own: Axolotl's data sets, and mlx-lm's parameters and schedules.

use super::super::read::{Read, boolean, list, number, object, text, whole, word, wrong};
use super::super::said::Said;
use super::values::is_small;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Types of rows that are conversations.
const CONVERSATIONS: [&str; 3] = ["chat_template", "chat_template.default", "sharegpt"];

pub(super) fn datasets(said: &mut Said, value: &Value) -> Read<()> {
    let files = files_of(value)?;
    said.inputs.data.extend(files);
    Ok(())
}

pub(super) fn test_datasets(said: &mut Said, value: &Value) -> Read<()> {
    let files = files_of(value)?;
    said.inputs.validation.extend(files);
    Ok(())
}

fn files_of(value: &Value) -> Read<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (index, entry) in list(value)?.iter().enumerate() {
        let in_entry = |problem| format!("[{index}]: {problem}");
        let entry = object(entry).map_err(in_entry)?;
        files.extend(files_of_entry(&entry).map_err(in_entry)?);
    }
    Ok(files)
}

fn files_of_entry(entry: &Map<String, Value>) -> Read<Vec<PathBuf>> {
    for (name, value) in entry.iter().filter(|(_, value)| !value.is_null()) {
        let expected = match name.as_str() {
            "path" | "data_files" => continue,
            "type" if is_one_of(value, &CONVERSATIONS) => continue,
            "type" => "chat_template: rows are conversations (`messages`)",
            "ds_type" if is_one_of(value, &["json", "jsonl"]) => continue,
            "ds_type" => "json",
            "split" if is_one_of(value, &["train"]) => continue,
            "split" => "train",
            "roles_to_train"
                if list(value)?
                    .iter()
                    .all(|role| is_one_of(role, &["assistant", "gpt"])) =>
            {
                continue;
            }
            "roles_to_train" => "[\"assistant\"]; a message may have `train`",
            "train_on_eos" if is_one_of(value, &["turn", "all"]) => continue,
            "train_on_eos" => "turn: the end of each turn that is trained",
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
    let files = entry.get("data_files").filter(|files| !files.is_null());
    let files = files.or(entry.get("path")).ok_or("has no `path`")?;
    list(files)?.iter().map(|file| Ok(text(file)?.into())).collect()
}

fn is_one_of(value: &Value, words: &[&str]) -> bool {
    word(value).is_ok_and(|word| words.contains(&word.as_str()))
}

pub(super) fn lora_parameters(said: &mut Said, value: &Value) -> Read<()> {
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
                "bias_correction" if boolean(value)? => Ok(()),
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

/// `{name: cosine_decay, arguments: [PEAK, STEPS, END], warmup: STEPS, warmup_init: RATE}`.
pub(super) fn lr_schedule(said: &mut Said, value: &Value) -> Read<()> {
    let schedule = object(value)?;
    let known = ["name", "arguments", "warmup", "warmup_init"];
    if let Some(name) = schedule.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("{name}: is not known; expected {}", known.join(", ")));
    }
    let name = word(schedule.get("name").unwrap_or(&Value::Null))?;
    let arguments: Vec<f64> = list(schedule.get("arguments").unwrap_or(&Value::Null))?
        .iter()
        .map(number)
        .collect::<Read<_>>()?;
    let (ours, peak, steps, end) = match (name.as_str(), arguments.as_slice()) {
        ("cosine_decay", &[peak, steps]) => ("cosine", peak, steps, 0.0),
        ("cosine_decay", &[peak, steps, end]) => ("cosine", peak, steps, end),
        ("linear_schedule", &[peak, end, steps]) => ("linear", peak, steps, end),
        _ => return Err(
            "expected `cosine_decay` with [PEAK, STEPS, END] or `linear_schedule` with [PEAK, END, STEPS]"
                .to_string(),
        ),
    };
    let warmup = schedule.get("warmup").map_or(Ok(0), whole)?;
    let begins = schedule.get("warmup_init").map_or(Ok(0.0), number)?;
    if !is_small(end, peak) || !is_small(begins, peak) {
        return Err("the learning rate rises from 0 and falls to 0; others are not supported".to_string());
    }
    said.put("lr_scheduler_type", ours)?;
    said.put("learning_rate", peak)?;
    said.put("warmup_steps", warmup)?;
    said.falls_over = Some([steps as u64, steps as u64 + warmup]);
    Ok(())
}
