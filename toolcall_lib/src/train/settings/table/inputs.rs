//! Names for the model, its adapter, and the data.

use super::super::read::{Read, boolean, is_off, list, number, object, said_none, text, whole, word, wrong};
use super::super::said::Said;
use super::reasons;
use super::values::{is_hidden, revision, token};
use crate::data_source::{DataSource, Place};
use crate::dataset::split_parts;
use crate::weights::Dtype;
use serde_json::Value;
use std::path::Path;

pub(super) fn adapter(said: &mut Said, value: &Value) -> Read<()> {
    match word(value)?.as_str() {
        "lora" => said.open.pack("adapter", None),
        "qlora" => said.open.pack("adapter", Some(Dtype::Q4KM)),
        _ => return Err(wrong(value, "lora, qlora, or nothing")),
    }
    said.adapter = Some(true);
    Ok(())
}

pub(super) fn finetuning_type(said: &mut Said, value: &Value) -> Read<()> {
    said.adapter = Some(match word(value)?.as_str() {
        "lora" => true,
        "full" => false,
        _ => return Err(wrong(value, "lora or full")),
    });
    Ok(())
}

pub(super) fn lora_rank(said: &mut Said, value: &Value) -> Read<()> {
    said.alpha_is_twice_rank = true;
    said.adapt("r", value)
}

pub(super) fn lora_target(said: &mut Said, value: &Value) -> Read<()> {
    said.asks_for_adapter = true;
    match word(value).as_deref() {
        Ok("all") => said.put("lora.target_modules", "all-linear"),
        // one name is a name there, not a regular expression
        _ => said.put("lora.target_modules", list(value)?),
    }
}

pub(super) fn target_linear(said: &mut Said, value: &Value) -> Read<()> {
    said.all_linear = boolean(value)?.then(|| said.key.clone());
    Ok(())
}

pub(super) fn init_lora_weights(_: &mut Said, value: &Value) -> Read<()> {
    match boolean(value) {
        Ok(true) => Ok(()),
        _ => Err(wrong(value, format!("true; {}", reasons::PLAIN_LORA))),
    }
}

pub(super) fn quantization_bit(said: &mut Said, value: &Value) -> Read<()> {
    let bits = match said_none(value) {
        true => None,
        false => Some(whole(value)?),
    };
    let dtype = match bits {
        None => None,
        Some(4) => Some(Dtype::Q4KM),
        Some(8) => Some(Dtype::Q8_0),
        Some(_) => return Err(wrong(value, "4, 8 or none")),
    };
    pack(said, "quantization_bit", dtype);
    Ok(())
}

pub(super) fn load_in_4bit(said: &mut Said, value: &Value) -> Read<()> {
    let dtype = boolean(value)?.then_some(Dtype::Q4KM);
    pack(said, "load_in_4bit", dtype);
    Ok(())
}

pub(super) fn load_in_8bit(said: &mut Said, value: &Value) -> Read<()> {
    let dtype = boolean(value)?.then_some(Dtype::Q8_0);
    pack(said, "load_in_8bit", dtype);
    Ok(())
}

/// Packs the weights as this setting says; `None` takes back what it said before.
fn pack(said: &mut Said, setting: &'static str, dtype: Option<Dtype>) {
    said.open.pack(setting, dtype);
    if dtype.is_some() {
        said.note("weights are packed in blocks of llama.cpp, not in those of bitsandbytes");
    }
}

pub(super) fn dtype(said: &mut Said, value: &Value) -> Read<()> {
    let name = word(value)?;
    let ours = match name.as_str() {
        "float32" => "f32",
        "bfloat16" => "bf16",
        "float16" | "half" => "f16",
        other => other,
    };
    let read: Dtype = ours
        .parse()
        .map_err(|_| wrong(value, "auto, float32, bfloat16 or float16"))?;
    said.open.loaded_as = Some(read);
    Ok(())
}

pub(super) fn model(said: &mut Said, value: &Value) -> Read<()> {
    said.inputs.model = Some(text(value)?);
    Ok(())
}

/// Reads a path, or `hub:owner/name`.
pub(super) fn source(path: &str) -> Read<DataSource> {
    DataSource::of_path(path).map_err(|error| error.to_string())
}

/// Reads the name of a file, a folder or a data set on the hub.
pub(super) fn named_source(name: &str) -> Read<DataSource> {
    DataSource::named(name).map_err(|error| error.to_string())
}

/// Reads names of files, or of data sets on the hub, which have the splits `train` and `valid`.
fn data(said: &mut Said, value: &Value) -> Read<()> {
    for name in list(value)? {
        let source = named_source(&text(&name)?)?;
        if matches!(source.place, Place::Hub(_)) {
            said.inputs.validation.push(DataSource {
                split: Some("valid".to_string()),
                ..source.clone()
            });
            said.inputs.validation_of_data = true;
        }
        said.inputs.data.push(source);
    }
    Ok(())
}

/// Reads the name of a split, or of a part of it such as `train[:20%]`.
pub(super) fn split(value: &Value) -> Read<String> {
    let split = text(value)?;
    split_parts(&split)?;
    Ok(split)
}

pub(super) fn validation(said: &mut Said, value: &Value) -> Read<()> {
    for file in list(value)? {
        said.inputs.validation.push(source(&text(&file)?)?);
    }
    Ok(())
}

/// Reads mlx-lm's folder with files of fixed names, or other names of data.
pub(super) fn data_folder(said: &mut Said, value: &Value) -> Read<()> {
    let Some(folder) = value.as_str().map(Path::new).filter(|path| path.is_dir()) else {
        return data(said, value);
    };
    said.inputs
        .data
        .push(DataSource::file(folder.join("train.jsonl")));
    let validation = folder.join("valid.jsonl");
    if validation.is_file() {
        said.inputs.validation.push(DataSource::file(validation));
        said.inputs.validation_of_data = true;
    }
    Ok(())
}

pub(super) fn names(value: &Value) -> Read<Vec<String>> {
    list(value)?.iter().map(text).collect()
}

pub(super) fn validation_share(said: &mut Said, value: &Value) -> Read<()> {
    let share = number(value)?;
    if share < 0.0 {
        return Err(wrong(value, "a share below 1, or a number of rows"));
    }
    said.inputs.validation_share = Some(share).filter(|share| *share > 0.0);
    Ok(())
}

pub(super) fn chat_template(said: &mut Said, value: &Value) -> Read<()> {
    match word(value)?.as_str() {
        "tokenizer_default" => Ok(()),
        "jinja" => Err("the template is the model's own; put it into the folder of the model".to_string()),
        _ => {
            said.note("the model's own template is used, or ChatML where that cannot show tools");
            Ok(())
        }
    }
}

pub(super) fn special_tokens(said: &mut Said, value: &Value) -> Read<()> {
    for (name, token) in object(value)?.iter().filter(|(_, token)| !token.is_null()) {
        match name.as_str() {
            "pad_token" => said.note("nothing is padded"),
            "eos_token" => eos_token(said, token)?,
            "bos_token" | "unk_token" => {
                let token = (name.clone(), text(token)?);
                said.inputs.special_tokens.push(token);
            }
            _ => {
                return Err(format!(
                    "`{name}` would be another token than the model's; put it into the folder of the model"
                ));
            }
        }
    }
    Ok(())
}

/// The token that ends a reply, which is compared with the model's when that is loaded.
pub(super) fn eos_token(said: &mut Said, value: &Value) -> Read<()> {
    match text(value)?.as_str() {
        "" => {}
        hidden if is_hidden(hidden) => said.note("the dump does not say it; the model's own counts"),
        token => said.inputs.eos_token = Some(token.to_string()),
    }
    Ok(())
}

pub(super) fn model_init_kwargs(said: &mut Said, value: &Value) -> Read<()> {
    for (name, value) in object(value)?.iter().filter(|(_, value)| !value.is_null()) {
        let read = match name.as_str() {
            "revision" => revision(said, value),
            "dtype" | "torch_dtype" => dtype(said, value),
            "token" => token(said, value),
            "attn_implementation"
            | "use_cache"
            | "device_map"
            | "low_cpu_mem_usage"
            | "trust_remote_code"
            | "use_kernels"
            | "cache_dir" => {
                said.ignore(reasons::KERNELS);
                Ok(())
            }
            _ => Err("is not read; leave it out, or put it into the folder of the model".to_string()),
        };
        read.map_err(|problem| format!("{name}: {problem}"))?;
    }
    Ok(())
}

pub(super) fn named(value: &Value) -> Read<Option<String>> {
    match is_off(value) {
        true => Ok(None),
        false => text(value).map(Some),
    }
}
