//! The settings that a model comes with: its `generation_config.json`, as transformers reads it.

use super::GenerateConfig;
use crate::error::{Error, Result, nearest_within, shortened};
use crate::model::Model;
use serde_json::{Map, Value, json};

/// Keys of a `generation_config.json` that are read here, or that do not change what is generated.
const OF_GENERATION: [&str; 18] = [
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "max_new_tokens",
    "eos_token_id",
    "bos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "transformers_version",
    "use_cache",
    "cache_implementation",
    "max_length",
    "return_dict_in_generate",
    "trust_remote_code",
    "chat_format",
];

/// Keys of transformers whose names are almost those of [`OF_GENERATION`].
const NEIGHBOURS: [&str; 3] = ["min_length", "min_new_tokens", "top_h"];

/// Keys of transformers for which 1 changes nothing; for others it is 0.
const NEUTRAL_AT_1: [&str; 7] = [
    "num_beams",
    "num_beam_groups",
    "num_return_sequences",
    "length_penalty",
    "encoder_repetition_penalty",
    "typical_p",
    "guidance_scale",
];

/// Reads a value of a `generation_config.json`, in which null counts as absent.
///
/// # Errors
/// `read` does not take the value; the error names it.
fn given<T>(
    file: &Map<String, Value>,
    name: &str,
    expected: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>> {
    let Some(value) = file.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    read(value).map(Some).ok_or_else(|| {
        Error::invalid(
            format!("generation_config.json: {name}"),
            format!("found {value}, expected {expected}"),
        )
    })
}

impl GenerateConfig {
    /// Returns the settings that a model comes with: its `generation_config.json`, as transformers
    /// reads it. Without the file, or without `do_sample`, decoding is greedy.
    ///
    /// # Errors
    /// A setting has an invalid value.
    pub fn of(model: &Model) -> Result<Self> {
        Self::read(&model.generation_config)
    }

    /// Reads the content of a `generation_config.json`, with transformers' defaults for what it
    /// leaves open.
    pub(super) fn read(file: &Map<String, Value>) -> Result<Self> {
        // 1. Readers of one kind of value each.
        let number = |name| given(file, name, "a number", Value::as_f64);
        let count = |name| given(file, name, "an integer, 0 or more", Value::as_u64);
        let is_share = |number: &f64| (0.0..=1.0).contains(number);
        let share = |name| {
            given(file, name, "a number from 0 to 1", |value| {
                value.as_f64().filter(is_share)
            })
        };
        let sampled = given(file, "do_sample", "true or false", Value::as_bool)?.unwrap_or(false);
        // 2. Settings that also apply to greedy decoding.
        let mut config = Self {
            repetition_penalty: number("repetition_penalty")?.unwrap_or(1.0),
            ..Self::default()
        };
        if let Some(most) = count("max_new_tokens")? {
            config.max_new_tokens = most as usize;
        }
        count("max_length")?; // of prompt and reply together; a model has a limit of its own
        // 3. Sampling settings, checked even if unused; transformers' defaults are 1.0, 50 and 1.0.
        let (temperature, top_k) = (
            number("temperature")?.unwrap_or(1.0),
            count("top_k")?.unwrap_or(50),
        );
        let (top_p, min_p) = (share("top_p")?.unwrap_or(1.0), share("min_p")?);
        if sampled {
            // 0 means what it does in transformers: as `min_p` it keeps all tokens, as `top_p` the
            // likeliest.
            config.temperature = if top_p > 0.0 { temperature } else { 0.0 };
            config.top_k = Some(top_k as usize).filter(|&k| k > 0);
            config.top_p = Some(top_p).filter(|&p| p > 0.0 && p < 1.0);
            config.min_p = min_p.filter(|&p| p > 0.0);
        }
        config.check()?;
        Ok(config)
    }

    /// Lists the settings of a model's `generation_config.json` that change what transformers
    /// generates and that are not read here, each as `name = value`, and those whose name is almost
    /// one that is read.
    pub fn not_read(model: &Model) -> Vec<String> {
        let changes = |(name, value): (&String, &Value)| {
            let known = OF_GENERATION.contains(&name.as_str()) || name.starts_with('_');
            if known || value.is_null() {
                return None;
            }
            let told = format!("{name} = {}", shortened(&value.to_string(), 100));
            // A known key of transformers is nearest to itself.
            let near = nearest_within(name, NEIGHBOURS.into_iter().chain(OF_GENERATION), 2);
            if let Some(near) = near.filter(|near| near != name) {
                return Some(format!("{told} (did you mean `{near}`?)"));
            }
            let neutral = if NEUTRAL_AT_1.contains(&name.as_str()) {
                1.0
            } else {
                0.0
            };
            let off = *value == false
                || value.as_f64() == Some(neutral)
                || value.as_array().is_some_and(Vec::is_empty);
            (!off).then_some(told)
        };
        model.generation_config.iter().filter_map(changes).collect()
    }

    /// Makes these the settings that `model` comes with; they are saved with it. Settings that do
    /// not apply are removed.
    pub fn store_in(&self, model: &mut Model) {
        let sampled = self.temperature > 0.0;
        let when_sampled = |value: Value| Some(value).filter(|_| sampled);
        let penalty = Some(self.repetition_penalty).filter(|&penalty| penalty != 1.0);
        let settings = [
            ("do_sample", Some(json!(sampled))),
            ("temperature", when_sampled(json!(self.temperature))),
            ("top_k", when_sampled(json!(self.top_k.unwrap_or(0)))),
            ("top_p", when_sampled(json!(self.top_p.unwrap_or(1.0)))),
            ("min_p", self.min_p.and_then(|p| when_sampled(json!(p)))),
            ("repetition_penalty", penalty.map(|penalty| json!(penalty))),
            ("max_new_tokens", Some(json!(self.max_new_tokens))),
        ];
        for (name, value) in settings {
            match value {
                Some(value) => model.generation_config.insert(name.to_string(), value),
                None => model.generation_config.shift_remove(name),
            };
        }
    }
}
