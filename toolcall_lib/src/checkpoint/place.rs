//! The place that a model is saved to.

use crate::error::{Error, Result};
use crate::files::{self, Output, names};
use crate::model::Model;
use crate::weights::gguf;
use std::path::Path;

/// Names of the files of a model. A foreign file with such a name would be replaced, or
/// would change the model.
pub(super) const RESERVED: [&str; 18] = [
    names::CONFIG,
    names::WEIGHTS,
    names::WEIGHTS_INDEX,
    "pytorch_model.bin",
    names::ADAPTER_CONFIG,
    names::ADAPTER_WEIGHTS,
    names::GENERATION_CONFIG,
    names::TOKENIZER,
    names::TOKENIZER_CONFIG,
    names::SPECIAL_TOKENS_MAP,
    "added_tokens.json",
    names::CHAT_TEMPLATE,
    names::PROCESSOR_CHAT_TEMPLATE,
    names::ADDITIONAL_CHAT_TEMPLATES,
    names::TRAIN_REPORT,
    names::TRAINER_STATE,
    names::TOOLS,
    names::TRAINING,
];

/// Makes sure, before the work, that a model can be saved to `path`. A folder is created, checked,
/// and kept from other processes as long as the returned value lives. A `.gguf` file is checked,
/// and nothing is returned; missing folders are created when it is written.
///
/// # Errors
/// `path` is something else, cannot be written to, or holds files of a model that we did not write
/// or that were changed since; or another process is writing there.
pub fn reserve(path: &Path) -> Result<Option<Output>> {
    if !gguf::is_named(path) {
        return reserve_folder(path).map(Some);
    }
    if path.is_file() && !gguf::is_ours(path)? {
        let problem = "was not written by toolcall, and saving would replace it; choose another name";
        return Err(Error::invalid(path.display(), problem));
    }
    files::check(path)?;
    Ok(None)
}

/// [`reserve`] for a folder, which is what training saves.
pub fn reserve_folder(path: &Path) -> Result<Output> {
    if gguf::is_named(path) {
        let problem =
            "names a GGUF file; choose a folder here, and make the file of it with `toolcall export`";
        return Err(Error::invalid(path.display(), problem));
    }
    let folder = Output::open(path)?;
    folder.refuse_foreign(&RESERVED)?;
    Ok(folder)
}

/// Refuses to put an adapter in the place of the model that it is for.
pub(super) fn refuse_base(model: &Model, folder: &Output) -> Result<()> {
    let adapter = model.decoder.adapter.as_ref();
    let same = |base: &str| Path::new(base).canonicalize().ok() == folder.path().canonicalize().ok();
    if adapter.is_some_and(|adapter| Path::new(&adapter.base).is_dir() && same(&adapter.base)) {
        let problem = "holds the model that the adapter is for; choose another folder";
        return Err(Error::invalid(folder.path().display(), problem));
    }
    Ok(())
}
