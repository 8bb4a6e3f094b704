//! The model that a command works with.

use super::output::note;
use clap::Args;
use std::path::Path;
use toolcall_lib::tokens::not_shown;
use toolcall_lib::train::settings::Inputs;
use toolcall_lib::{Dataset, Dtype, Error, GenerateConfig, Model, Result, json, load_as};

/// The model where none is named.
const DEFAULT_MODEL: &str = ".toolcall/models/SmolLM2-135M-Instruct.gguf";

/// The model that a command works with.
#[derive(Args)]
pub(super) struct ModelArgument {
    /// A Hugging Face model folder, a PEFT folder of a LoRA adapter, a .gguf file, or a hub id such
    /// as Qwen/Qwen3-0.6B [env: TOOLCALL_MODEL=] [default:
    /// .toolcall/models/SmolLM2-135M-Instruct.gguf]
    #[arg(long)]
    model: Option<String>,
    /// Type of the weights in memory: f32, bf16, f16, q8_0, q4_0, q4_k_m, or auto, the type in the
    /// file. Weights of any type but f32 are frozen: training them needs LoRA (--recipe lora)
    /// [default: f32]
    #[arg(long)]
    dtype: Option<Dtype>,
    /// JSON object with variables for the chat template, besides messages and tools, such as
    /// {"enable_thinking": true}
    #[arg(long)]
    chat_template_kwargs: Option<String>,
}

impl ModelArgument {
    /// Returns the argument for another model, to be loaded in the same way.
    pub(super) fn of(&self, model: &str) -> Self {
        Self {
            model: Some(model.to_string()),
            dtype: self.dtype,
            chat_template_kwargs: self.chat_template_kwargs.clone(),
        }
    }

    pub(super) fn load(&self) -> Result<Model> {
        self.load_named(&Inputs::default(), true)
    }

    /// Loads the model; a file of settings may name it where the command line does not.
    pub(super) fn load_named(&self, file: &Inputs, show: bool) -> Result<Model> {
        let said = self.model.clone().or_else(|| file.model.clone());
        let name = said.or_else(|| std::env::var("TOOLCALL_MODEL").ok());
        let dtype = self.dtype.or(file.dtype).unwrap_or_default();
        let mut model = load_as(&name.map_or_else(default_model, Ok)?, dtype)?;
        if let Some(text) = &self.chat_template_kwargs {
            let kwargs = json::read_object(text).map_err(|e| Error::invalid("--chat-template-kwargs", e))?;
            model.notes.extend(model.template.unused(&kwargs));
            model.template = model.template.with_kwargs(&kwargs);
        }
        let notes = model.notes.iter().filter(|_| show);
        notes.for_each(note);
        Ok(model)
    }

    /// Loads a model that will write replies, and notes which of its settings for them are not
    /// supported.
    pub(super) fn load_to_answer(&self) -> Result<Model> {
        let model = self.load()?;
        for setting in GenerateConfig::not_read(&model) {
            note(format!(
                "generation_config.json: {setting} is not supported, and left out"
            ));
        }
        Ok(model)
    }
}

/// Returns the default model, which has to be here.
fn default_model() -> Result<String> {
    if Path::new(DEFAULT_MODEL).exists() {
        return Ok(DEFAULT_MODEL.to_string());
    }
    let problem = format!(
        "is missing, and the default model {DEFAULT_MODEL} is not here; name a model with --model or \
         TOOLCALL_MODEL, or fetch the default one with `scripts/setup.sh model`"
    );
    Err(Error::invalid("--model", problem))
}

/// Prints notes on data files, and on what the model's template does not show of them.
pub(super) fn show_notes(data: &Dataset, model: &Model) {
    let notes = data
        .notes()
        .into_iter()
        .chain(not_shown(&data.rows, &model.template));
    notes.for_each(note);
}
