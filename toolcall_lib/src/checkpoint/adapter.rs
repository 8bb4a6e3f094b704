//! An adapter as a folder of PEFT: `adapter_config.json` and `adapter_model.safetensors`, with the
//! tokenizer and the template beside them as TRL saves them.

use super::{draft_weights, model};
use crate::error::{Error, Result};
use crate::files::Draft;
use crate::files::names::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, TOKENIZER};
use crate::json;
use crate::model::Model;
use crate::model::lora::{Adapter, LoraConfig};
use crate::weights::{self, Dtype, ModelSource, TextFiles, safetensors};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The fields of `adapter_config.json` that [`LoraConfig`] has.
const OURS: [&str; 5] = ["r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora"];

/// The fields that never change what is computed.
const HARMLESS: [&str; 11] = [
    "base_model_name_or_path",
    "peft_type",
    "task_type",
    "peft_version",
    "inference_mode",
    "init_lora_weights",
    "auto_mapping",
    "revision",
    "megatron_core",
    "qalora_group_size",
    "runtime_config",
];

/// Loads an adapter and the model that it was made for, whose weights are held as `dtype`.
pub(super) fn load(folder: &Path, dtype: Dtype) -> Result<Model> {
    let (settings, base) = read_config(folder)?;
    let place = || {
        format!(
            "{}: base_model_name_or_path",
            folder.join(ADAPTER_CONFIG).display()
        )
    };
    let source = ModelSource::find(&base).map_err(|e| Error::invalid(place(), e))?;
    let mut raw = weights::read_as(&source, dtype)?;
    if folder.join(TOKENIZER).is_file() {
        let text = TextFiles::read(folder)?;
        raw.tokenizer = text.tokenizer;
        raw.tokenizer_config = text.tokenizer_config;
        if text.chat_template.is_some() {
            raw.chat_template = text.chat_template;
            raw.additional_chat_templates = text.additional_chat_templates;
        }
    }
    raw.tools = None; // the base's tools; training the adapter has set others
    let mut model = model(raw)?;
    let layout = model.decoder.weights.layout();
    let targets = Adapter::layout(&settings, layout)
        .map_err(|e| Error::invalid(folder.join(ADAPTER_CONFIG).display(), e))?;
    let parameters = safetensors::read_file(&folder.join(ADAPTER_WEIGHTS), targets)?;
    let adapter = Adapter::from_parameters(settings, layout, &base, parameters)?;
    model.decoder.adapter = Some(adapter);
    model.origin = folder.display().to_string();
    Ok(model)
}

/// Adds both files.
pub(super) fn write(adapter: &Adapter, draft: &mut Draft) -> Result<()> {
    let config = &adapter.config;
    let settings = json!({
        "base_model_name_or_path": adapter.base,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": config.r,
        "target_modules": config.target_modules,
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": config.use_rslora,
    });
    draft.write_json(ADAPTER_CONFIG, &settings)?;
    draft_weights(ADAPTER_WEIGHTS, &adapter.parameters, draft, Dtype::F32)
}

/// The settings of the adapter in `folder`.
pub(crate) fn read_settings(folder: &Path) -> Result<LoraConfig> {
    Ok(read_config(folder)?.0)
}

/// Settings and base.
///
/// # Errors
/// A field changes what is computed in a way that is not supported.
fn read_config(folder: &Path) -> Result<(LoraConfig, String)> {
    let file = folder.join(ADAPTER_CONFIG);
    let wrong =
        |field: &str, problem: String| Error::invalid(format!("{}: {field}", file.display()), problem);
    let text = std::fs::read_to_string(&file).map_err(Error::io(&file))?;
    let json = json::read_object(&text).map_err(|e| Error::invalid(file.display(), e))?;
    if json.get("peft_type").is_some_and(|kind| kind != "LORA") {
        let problem = format!("{} is not supported; supported is \"LORA\"", json["peft_type"]);
        return Err(wrong("peft_type", problem));
    }
    let (ours, others): (Map<_, _>, Map<_, _>) = json
        .into_iter()
        .partition(|(field, _)| OURS.contains(&field.as_str()));
    for (field, value) in &others {
        if !HARMLESS.contains(&field.as_str()) && !is_off(value) {
            return Err(wrong(
                field,
                format!("{value} is not supported; it has to be off"),
            ));
        }
    }
    refuse_changed_base(&others).map_err(|problem| wrong("init_lora_weights", problem))?;
    let base = others.get("base_model_name_or_path").and_then(Value::as_str);
    let advice = "is missing; expected the folder, GGUF file or hub id of the model that it was trained on";
    let base = base.ok_or_else(|| wrong("base_model_name_or_path", advice.to_string()))?;
    let settings: LoraConfig =
        serde_json::from_value(Value::Object(ours)).map_err(|e| Error::invalid(file.display(), e))?;
    settings.check().map_err(|e| Error::invalid(file.display(), e))?;
    Ok((settings, base.to_string()))
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(word) => word == "none",
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Some initialisations move a part of the base into the adapter: it fits only a base that lacks
/// that part.
fn refuse_changed_base(fields: &Map<String, Value>) -> std::result::Result<(), String> {
    match fields.get("init_lora_weights").and_then(Value::as_str) {
        None | Some("gaussian" | "eva" | "orthogonal") => Ok(()),
        Some(other) => Err(format!(
            "`{other}` changes the weights of the base; convert the adapter with PEFT (path_initial_model_for_weight_conversion)"
        )),
    }
}
