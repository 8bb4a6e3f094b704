//! A model as a Hugging Face folder, or an adapter as a PEFT folder: save, load, publish.

mod adapter;
mod card;
mod modelfile;
mod parts;
mod place;
mod push;
mod rescue;

pub use crate::weights::hub::Pushed;
pub(crate) use adapter::read_settings as read_adapter_settings;
pub use modelfile::modelfile;
pub use place::{reserve, reserve_folder};
pub use push::{PushConfig, can_push, push_to, push_to_hub};
pub use rescue::save_somewhere;

use crate::cpu;
use crate::error::{Error, Result, tell};
use crate::files::{self, Draft, Output, names};
use crate::interrupt;
use crate::model::{Decoder, Model, Training};
use crate::tool::load_tools;
use crate::weights::{self, Dtype, ModelSource, gguf};
use parts::{draft_weights, model, remember};
use serde_json::Value;
use std::path::Path;

/// Loads a model with its weights as f32: a Hugging Face folder, a GGUF file, or a hub id such as
/// `Qwen/Qwen3-0.6B`. A PEFT folder of a LoRA adapter is loaded with the model that it names as its
/// base.
///
/// A chat template that cannot show tools is replaced by ours; `notes` of the model says so, and
/// [`save`] writes the new one.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::load;
///
/// let model = load("HuggingFaceTB/SmolLM2-135M-Instruct")?;
/// println!("{model}");
/// # Ok(())
/// # }
/// ```
pub fn load(spec: &str) -> Result<Model> {
    load_as(spec, Dtype::F32)
}

/// [`load`] with the weights as `dtype`. With all but f32 they are frozen: training needs
/// [`lora`](crate::TrainConfig::lora), and unpacks one matrix at a time, so memory holds the packed
/// weights, the adapter, and the activations. Generation reads them packed, which is faster the
/// smaller they are.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{Dtype, load_as};
///
/// let model = load_as("out/tuned", Dtype::Q8_0)?; // replies from a quarter of the memory
/// # Ok(())
/// # }
/// ```
pub fn load_as(spec: &str, dtype: Dtype) -> Result<Model> {
    cpu::limit_by_environment()?;
    let folder = Path::new(spec);
    files::recover(folder)?;
    let mut model = match folder.join(names::ADAPTER_CONFIG).is_file() {
        true => adapter::load(folder, dtype)?,
        false => model(weights::read_as(&ModelSource::find(spec)?, dtype)?)?,
    };
    let remembered = folder.join(names::TOOLS);
    if remembered.is_file() {
        remember(&mut model, load_tools(&remembered));
    }
    match read_training(folder) {
        Ok(training) => model.training = training,
        Err(error) => model
            .notes
            .push(format!("how the model was trained is not known: {error}")),
    }
    Ok(model)
}

/// Returns the name of the model that the environment variable `TOOLCALL_MODEL` holds, for
/// [`load`]. `scripts/run_notebook.sh` and `scripts/lab.sh` set it to the default model, or to that
/// of `--model`.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{default_model, load};
///
/// let model = load(&default_model()?)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The variable is not set, or empty.
pub fn default_model() -> Result<String> {
    let named = std::env::var("TOOLCALL_MODEL")
        .ok()
        .filter(|name| !name.is_empty());
    let missing = "is not set; start Jupyter with scripts/lab.sh, or name a model: load(\"Qwen/Qwen3-0.6B\")";
    named.ok_or_else(|| Error::invalid("TOOLCALL_MODEL", missing))
}

fn read_training(folder: &Path) -> Result<Option<Training>> {
    let file = folder.join(names::TRAINING);
    if !file.is_file() {
        return Ok(None);
    }
    let text = std::fs::read(&file).map_err(Error::io(&file))?;
    serde_json::from_slice(&text).map_err(|e| Error::invalid(file.display(), e))
}

/// Writes a complete Hugging Face model folder that transformers, vLLM and llama.cpp's converter
/// read; of a model with an adapter, the folder that PEFT reads, with the adapter, the tokenizer
/// and the template ([`Model::merge`] before makes it a whole model).
///
/// The model appears once it is complete, and replaces the one that was saved there before. All
/// other files in the folder stay as they are. If the process ends while it saves, the folder has
/// the old model or the new one.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{load, save};
///
/// let model = load("out/tuned")?;
/// save(&model, "out/copy")?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `folder` is a file, cannot be written to, or has a model file that we did not write or that was
/// changed since; another process is writing there; or a weight is not finite. Then nothing is
/// saved.
pub fn save(model: &Model, folder: impl AsRef<Path>) -> Result<()> {
    save_as(model, folder, Dtype::F32)
}

/// [`save`] with matrices as `dtype`: f32, or bf16 in half the space. An adapter is f32 in any
/// case.
///
/// A path that ends in `.gguf` becomes a GGUF file for llama.cpp, with tokenizer and template, in
/// any [`Dtype`] but `Auto`. A `Modelfile` for Ollama ([`modelfile()`]) is written beside it,
/// unless a foreign one is there.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{Dtype, load, save_as};
///
/// let model = load("out/tuned")?;
/// save_as(&model, "out/bf16", Dtype::Bf16)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The errors of [`save`]; a GGUF file of a model with an adapter, or of a tokenizer that llama.cpp
/// does not know.
pub fn save_as(model: &Model, path: impl AsRef<Path>, dtype: Dtype) -> Result<()> {
    let path = path.as_ref();
    let _to_the_end = interrupt::Guard::start()?; // Ctrl-C does not cut it short
    match reserve(path)? {
        Some(folder) => save_with(model, &folder, dtype, |_| Ok(())),
        None => save_gguf(model, path, dtype),
    }
}

fn save_gguf(model: &Model, file: &Path, dtype: Dtype) -> Result<()> {
    if model.decoder.adapter.is_some() {
        let problem = "the model has an adapter, which a GGUF file of a model cannot hold; merge it first";
        return Err(Error::invalid(file.display(), problem));
    }
    let weights = model.decoder.weights.to_f32();
    if let Some(problem) = weights.not_finite() {
        return Err(Error::invalid(
            file.display(),
            format!("{problem}, so nothing is saved"),
        ));
    }
    let export = gguf::Export {
        name: model.name(),
        config: &model.decoder.config,
        parameters: &weights,
        tokenizer: &model.tokenizer,
        chat_template: model.template.source(),
        additional_chat_templates: model.template.additional(),
        tools: &model.tools,
    };
    gguf::save(&export, file, dtype)?;
    if let Some(note) = modelfile::write(model, file)? {
        tell(format!("note: {note}"));
    }
    Ok(())
}

/// [`save_as`] to a folder, and `more` adds other files.
pub(crate) fn save_with(
    model: &Model,
    folder: &Output,
    dtype: Dtype,
    more: impl FnOnce(&mut Draft) -> Result<()>,
) -> Result<()> {
    place::refuse_base(model, folder)?;
    folder.save(&place::RESERVED, |draft| {
        draft_model(model, draft, dtype)?;
        more(draft)
    })
}

/// Adds all files of a model.
pub(crate) fn draft_model(model: &Model, draft: &mut Draft, dtype: Dtype) -> Result<()> {
    draft.write_json(names::TOKENIZER_CONFIG, &model.tokenizer.config)?;
    draft.write(names::TOKENIZER, model.tokenizer.to_json()?)?;
    draft.write(names::CHAT_TEMPLATE, model.template.source())?;
    for (name, source) in model.template.additional() {
        let file = format!("{}/{name}.jinja", names::ADDITIONAL_CHAT_TEMPLATES);
        draft.write(&file, source)?;
    }
    if !model.tools.is_empty() {
        draft.write_json(names::TOOLS, &model.tools)?;
    }
    if let Some(training) = &model.training {
        draft.write_json(names::TRAINING, training)?;
    }
    draft.write(names::CARD, card::card(model))?;
    match &model.decoder.adapter {
        Some(adapter) => adapter::write(adapter, draft),
        None => draft_whole(model, draft, dtype),
    }
}

fn draft_whole(model: &Model, draft: &mut Draft, dtype: Dtype) -> Result<()> {
    let eos = &model.tokenizer.eos_token_ids;
    let mut generation = model.generation_config.clone();
    generation.insert("eos_token_id".to_string(), Value::from(eos.clone()));
    let mut config = model.decoder.config.to_json(eos);
    if dtype == Dtype::Bf16 {
        config.insert("dtype".to_string(), Value::from("bfloat16"));
    }
    draft.write_json(names::CONFIG, &config)?;
    draft.write_json(names::GENERATION_CONFIG, &generation)?;
    draft_weights(names::WEIGHTS, &model.decoder.weights.to_f32(), draft, dtype)
}

/// The file of a saved folder that holds what is trained.
pub(crate) fn trained_file(decoder: &Decoder) -> &'static str {
    match decoder.adapter {
        Some(_) => names::ADAPTER_WEIGHTS,
        None => names::WEIGHTS,
    }
}
