//! Reading and writing `config.json`, in the forms of transformers 4 and transformers 5.

use super::{Llama3RopeScaling, ModelConfig};
use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::path::Path;

/// Largest width of a model of this family, with a wide margin; a larger number is damage.
const WIDEST: usize = 1 << 24;
/// Largest number of blocks.
const DEEPEST: usize = 1 << 12;
/// Longest context: twice that of the longest models of this family.
const LONGEST: usize = 1 << 21;

impl ModelConfig {
    /// Reads the fields of a `config.json`; `file` is for messages.
    ///
    /// # Errors
    /// A field is missing, has the wrong type, or asks for something that this crate does not have:
    /// another architecture, a sliding window, biases, another rotary scaling. The message names
    /// the field and the supported values.
    pub fn from_json(json: &Map<String, Value>, file: &Path) -> Result<Self> {
        let fields = Fields {
            json,
            place: file.display().to_string(),
        };
        // 1. Architecture, and settings that are not supported.
        let model_type: String = fields.need("model_type")?;
        if !["llama", "mistral", "qwen2", "qwen3"].contains(&model_type.as_str()) {
            let supported = "llama (SmolLM2 is one), mistral, qwen2 and qwen3";
            return Err(fields.wrong(
                "model_type",
                format!("`{model_type}` is not supported; supported are {supported}"),
            ));
        }
        refuse_unsupported(&fields, &model_type)?;
        // 2. Sizes. Qwen3's heads are 128 wide unless the config says otherwise; those of other
        // architectures share the hidden size.
        let heads: usize = fields.need("num_attention_heads")?;
        let hidden_size: usize = fields.need("hidden_size")?;
        let max_position_embeddings = fields.need("max_position_embeddings")?;
        let usual_head_dim = if model_type == "qwen3" {
            128
        } else {
            hidden_size / heads.max(1)
        };
        let (rope_theta, rope_scaling) = rope(&fields, max_position_embeddings)?;
        let config = Self {
            vocab_size: fields.need("vocab_size")?,
            hidden_size,
            intermediate_size: fields.need("intermediate_size")?,
            num_hidden_layers: fields.need("num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: fields.read("num_key_value_heads")?.unwrap_or(heads),
            head_dim: fields.read("head_dim")?.unwrap_or(usual_head_dim),
            rms_norm_eps: fields.read("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            max_position_embeddings,
            tie_word_embeddings: fields.read("tie_word_embeddings")?.unwrap_or(false),
            attention_bias: model_type == "qwen2",
            qk_norm: model_type == "qwen3",
            model_type,
        };
        check_sizes(&config, &fields)?;
        Ok(config)
    }

    /// Writes the fields of a `config.json` that transformers 4 and 5 load, for weights that are
    /// stored as f32.
    pub fn to_json(&self, eos_token_ids: &[u32]) -> Map<String, Value> {
        // 1. Fields whose form depends on the model.
        let architecture = match self.model_type.as_str() {
            "mistral" => "MistralForCausalLM",
            "qwen2" => "Qwen2ForCausalLM",
            "qwen3" => "Qwen3ForCausalLM",
            _ => "LlamaForCausalLM",
        };
        let eos = if let [one] = eos_token_ids {
            json!(one)
        } else {
            json!(eos_token_ids)
        };
        let rope_scaling = self.rope_scaling.as_ref().map(|scaling| {
            json!({
                "rope_type": "llama3",
                "factor": scaling.factor,
                "low_freq_factor": scaling.low_freq_factor,
                "high_freq_factor": scaling.high_freq_factor,
                "original_max_position_embeddings": scaling.original_max_position_embeddings,
            })
        });
        // 2. All fields; those that this crate never varies have fixed values.
        let json = json!({
            "architectures": [architecture],
            "attention_dropout": 0.0,
            "bos_token_id": null,
            "dtype": "float32",
            "eos_token_id": eos,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "model_type": self.model_type,
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": rope_scaling,
            "rope_theta": self.rope_theta,
            "sliding_window": null,
            "tie_word_embeddings": self.tie_word_embeddings,
            "use_cache": true,
            "vocab_size": self.vocab_size,
        });
        json.as_object().cloned().unwrap_or_default()
    }
}

/// Typed access to the fields; `null` counts as missing, as in transformers.
struct Fields<'a> {
    json: &'a Map<String, Value>,
    place: String,
}

impl Fields<'_> {
    fn read<T: DeserializeOwned>(&self, field: &str) -> Result<Option<T>> {
        match self.json.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|e| self.wrong(field, e)),
        }
    }

    fn need<T: DeserializeOwned>(&self, field: &str) -> Result<T> {
        self.read(field)?.ok_or_else(|| self.wrong(field, "is missing"))
    }

    fn wrong(&self, field: &str, problem: impl Display) -> Error {
        Error::invalid(format!("{}: {field}", self.place), problem)
    }
}

/// Refuses settings that change the model's computation in a way that this crate does not have.
fn refuse_unsupported(fields: &Fields, model_type: &str) -> Result<()> {
    // Accepts a field only if it is missing or has the supported value.
    let only = |field: &str, supported: Value| match fields.json.get(field) {
        None | Some(Value::Null) => Ok(()),
        Some(value)
            if *value == supported || value.as_f64().is_some() && value.as_f64() == supported.as_f64() =>
        {
            Ok(())
        }
        Some(value) => Err(fields.wrong(
            field,
            format!("{value} is not supported; supported is {supported}"),
        )),
    };
    only("hidden_act", json!("silu"))?;
    only("mlp_bias", json!(false))?;
    only("attention_dropout", json!(0.0))?;
    only("partial_rotary_factor", json!(1.0))?;
    if model_type != "qwen2" {
        // Other architectures mean a bias on the output projection too.
        only("attention_bias", json!(false))?;
    }
    // Weights that are packed in safetensors.
    if let Some(quantization) = fields.read::<Map<String, Value>>("quantization_config")? {
        let method = quantization
            .get("quant_method")
            .and_then(Value::as_str)
            .unwrap_or("quantized");
        let advice = "use the original weights, or a GGUF file";
        return Err(fields.wrong(
            "quantization_config",
            format!("`{method}` weights are not supported; {advice}"),
        ));
    }
    let layer_types: Vec<String> = fields.read("layer_types")?.unwrap_or_default();
    if let Some(other) = layer_types.iter().find(|kind| *kind != "full_attention") {
        return Err(fields.wrong(
            "layer_types",
            format!("`{other}` is not supported; supported is full_attention"),
        ));
    }
    refuse_sliding_window(fields, model_type)
}

/// Refuses a sliding window. Qwen has a switch for its window; Mistral has one of 4096 tokens
/// unless the field is `null`.
fn refuse_sliding_window(fields: &Fields, model_type: &str) -> Result<()> {
    let window = match (model_type, fields.json.get("sliding_window")) {
        ("qwen2" | "qwen3", _) if !fields.read("use_sliding_window")?.unwrap_or(false) => None,
        ("llama", _) => None,
        (_, None) => Some(4096),
        _ => fields.read("sliding_window")?,
    };
    let Some(window) = window else { return Ok(()) };
    let advice = format!("if your sequences stay within {window} tokens, set it to null");
    Err(fields.wrong(
        "sliding_window",
        format!("attention over a window of {window} tokens is not supported; {advice}"),
    ))
}

/// Reads base and scaling of the rotary embedding: at the top level, or in `rope_parameters`, as
/// transformers 5 writes them.
fn rope(fields: &Fields, max_position_embeddings: usize) -> Result<(f64, Option<Llama3RopeScaling>)> {
    // 1. The object with the scaling: `rope_parameters` of transformers 5, or `rope_scaling`.
    let (field, json): (_, Map<String, Value>) = match fields.read("rope_parameters")? {
        Some(json) => ("rope_parameters", json),
        None => ("rope_scaling", fields.read("rope_scaling")?.unwrap_or_default()),
    };
    let inner = Fields {
        json: &json,
        place: format!("{}: {field}", fields.place),
    };
    // 2. The base is in that object or at the top level.
    let theta = match inner.read("rope_theta")? {
        Some(theta) => theta,
        None => fields.read("rope_theta")?.unwrap_or(10_000.0),
    };
    if inner
        .read("partial_rotary_factor")?
        .is_some_and(|factor: f64| factor != 1.0)
    {
        return Err(inner.wrong("partial_rotary_factor", "is not supported; supported is 1.0"));
    }
    // 3. The kind of scaling, under its new or its old key.
    let old_name: Option<String> = inner.read("type")?;
    let kind: String = inner
        .read("rope_type")?
        .or(old_name)
        .unwrap_or_else(|| "default".into());
    let scaling = match kind.as_str() {
        "default" => None,
        "llama3" => Some(Llama3RopeScaling {
            factor: inner.need("factor")?,
            low_freq_factor: inner.need("low_freq_factor")?,
            high_freq_factor: inner.need("high_freq_factor")?,
            original_max_position_embeddings: inner
                .read("original_max_position_embeddings")?
                .unwrap_or(max_position_embeddings),
        }),
        other => {
            let problem = format!("`{other}` is not supported; supported are default and llama3");
            return Err(inner.wrong("rope_type", problem));
        }
    };
    Ok((theta, scaling))
}

/// Refuses sizes that are damaged or do not fit each other.
fn check_sizes(config: &ModelConfig, fields: &Fields) -> Result<()> {
    for (field, size, largest) in [
        ("vocab_size", config.vocab_size, WIDEST),
        ("hidden_size", config.hidden_size, WIDEST),
        ("intermediate_size", config.intermediate_size, WIDEST),
        ("num_hidden_layers", config.num_hidden_layers, DEEPEST),
        ("num_attention_heads", config.num_attention_heads, WIDEST),
        ("num_key_value_heads", config.num_key_value_heads, WIDEST),
        ("head_dim", config.head_dim, WIDEST),
        ("max_position_embeddings", config.max_position_embeddings, LONGEST),
    ] {
        if !(1..=largest).contains(&size) {
            return Err(fields.wrong(field, format!("{size} is not a size; expected 1 to {largest}")));
        }
    }
    // Heads: groups of query heads share a key head, and RoPE rotates pairs of elements.
    let (heads, groups) = (config.num_attention_heads, config.num_key_value_heads);
    if !heads.is_multiple_of(groups) {
        return Err(fields.wrong(
            "num_key_value_heads",
            format!("{groups} does not divide the {heads} attention heads"),
        ));
    }
    if heads * config.head_dim > WIDEST {
        let problem = format!("{heads} heads of {} are wider than {WIDEST}", config.head_dim);
        return Err(fields.wrong("head_dim", problem));
    }
    if !config.head_dim.is_multiple_of(2) {
        return Err(fields.wrong(
            "head_dim",
            format!("{} is odd; RoPE needs pairs", config.head_dim),
        ));
    }
    // Numbers that enter a division or a power.
    for (field, value) in [
        ("rms_norm_eps", config.rms_norm_eps),
        ("rope_theta", config.rope_theta),
    ] {
        if !(value.is_finite() && value > 0.0) {
            return Err(fields.wrong(field, format!("{value:e} is not a positive number")));
        }
    }
    config
        .rope_scaling
        .as_ref()
        .map_or(Ok(()), |scaling| check_scaling(scaling, fields))
}

/// Refuses a scaling that would give frequencies that are not finite.
fn check_scaling(scaling: &Llama3RopeScaling, fields: &Fields) -> Result<()> {
    let Llama3RopeScaling {
        factor,
        low_freq_factor: low,
        high_freq_factor: high,
        original_max_position_embeddings: original,
    } = *scaling;
    let positive = |x: f64| x.is_finite() && x > 0.0;
    let problem = if !positive(factor) {
        format!("its factor {factor:e} is not a positive number")
    } else if !(positive(low) && positive(high) && low < high) {
        format!("expected 0 < low_freq_factor < high_freq_factor, got {low:e} and {high:e}")
    } else if !(1..=LONGEST).contains(&original) {
        format!("its original_max_position_embeddings {original} is not a size; expected 1 to {LONGEST}")
    } else {
        return Ok(());
    };
    Err(fields.wrong("rope_scaling", problem))
}
