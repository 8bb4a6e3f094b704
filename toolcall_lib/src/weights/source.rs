//! Sources of a model: a folder, a GGUF file, or the hub.

use super::hub::{Hub, HubId};
use super::raw::{RawModel, check};
use super::{Dtype, folder, gguf};
use crate::error::{Error, Result};
use crate::files;
use std::fmt;
use std::path::{Path, PathBuf};

/// The source of a model, as a user names it with `--model`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A Hugging Face model folder.
    Folder(PathBuf),
    /// A GGUF file.
    Gguf(PathBuf),
    /// A model on the hub, such as `Qwen/Qwen3-0.6B` or `Qwen/Qwen3-0.6B@main`.
    Hub(HubId),
}

impl ModelSource {
    /// Finds the source that `spec` means: a folder or a `.gguf` file that exists, or else a hub id
    /// `owner/name` or `owner/name@revision`.
    ///
    /// # Errors
    /// Nothing of this name exists and it is not a hub id, or a folder lacks files.
    pub fn find(spec: &str) -> Result<Self> {
        let path = Path::new(spec);
        let is_gguf = gguf::is_named(path);
        // A crash may have left a save half done; `recover` completes it.
        if path.is_dir() {
            files::recover(path)?;
            folder::check(path)?;
            Ok(Self::Folder(path.to_path_buf()))
        } else if path.is_file() && is_gguf {
            Ok(Self::Gguf(path.to_path_buf()))
        } else if path.exists() {
            Err(Error::invalid(
                spec,
                "is not a model; expected a folder, a .gguf file, or a hub id owner/name",
            ))
        } else if let Some(id) = HubId::parse(spec).filter(|_| !is_gguf) {
            Ok(Self::Hub(id))
        } else {
            Err(Error::invalid(
                spec,
                "there is no such file or folder, and a hub id has the form owner/name",
            ))
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) | Self::Gguf(path) => write!(f, "{}", path.display()),
            Self::Hub(id) => write!(f, "{id}"),
        }
    }
}

/// Reads a model with its weights as f32. Downloads a hub model first, unless it is in the cache
/// ([`Hub::from_env`]).
///
/// # Errors
/// Files that are missing, damaged or not supported, by name.
pub fn read(source: &ModelSource) -> Result<RawModel> {
    read_as(source, Dtype::F32)
}

/// Reads a model like [`read`], with the weights as `dtype`. Memory never holds more than them and
/// a few megabytes.
///
/// # Errors
/// The same as [`read`].
pub fn read_as(source: &ModelSource, dtype: Dtype) -> Result<RawModel> {
    let model = match source {
        ModelSource::Folder(path) => folder::read(path, dtype)?,
        ModelSource::Gguf(path) => gguf::read(path, dtype)?,
        ModelSource::Hub(id) => {
            let folder = Hub::from_env()?.snapshot(id)?;
            RawModel {
                origin: id.to_string(),
                ..folder::read(&folder, dtype)?
            }
        }
    };
    check(&model)?;
    Ok(model)
}
