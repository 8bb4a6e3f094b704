//! An open GGUF file: its metadata, and its memory-mapped tensors.

use super::super::stored::map;
use super::header;
use crate::error::{Error, Result};
use candle_core::quantized::gguf_file::{Content, Value};
use memmap2::Mmap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// An open file: its metadata, and its memory-mapped tensors.
pub(super) struct Gguf {
    pub(super) file: PathBuf,
    pub(super) content: Content,
    pub(super) bytes: Mmap,
}

impl Gguf {
    pub(super) fn open(file: &Path) -> Result<Self> {
        let bytes = map(file)?;
        header::check(&bytes)
            .map_err(|(field, problem)| Error::invalid(format!("{}: {field}", file.display()), problem))?;
        let content = Content::read(&mut Cursor::new(&bytes)).map_err(|e| {
            Error::invalid(
                file.display(),
                format!("is damaged, or not a supported GGUF file: {e}"),
            )
        })?;
        Ok(Self {
            file: file.to_path_buf(),
            content,
            bytes,
        })
    }

    pub(super) fn wrong(&self, key: &str, problem: impl std::fmt::Display) -> Error {
        Error::invalid(format!("{}: {key}", self.file.display()), problem)
    }

    pub(super) fn missing(&self, key: &str) -> Error {
        self.wrong(key, "is missing")
    }

    pub(super) fn get<'a, T>(
        &'a self,
        key: &str,
        kind: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.content.metadata.get(key) else {
            return Ok(None);
        };
        read(value)
            .map(Some)
            .ok_or_else(|| self.wrong(key, format!("is not {kind}")))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        self.get(key, "a string", |value| {
            value.to_string().ok().map(String::as_str)
        })
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<u64>> {
        self.get(key, "a count", count)
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.get(key, "true or false", |value| value.to_bool().ok())
    }

    /// Reads a float. It is stored as f32, and returned as the shortest decimal number that is the
    /// same f32 (1e-5, not 9.99999974e-6).
    pub(super) fn float(&self, key: &str) -> Result<Option<f64>> {
        self.get(key, "a number", |value| match value {
            Value::F32(x) => x.to_string().parse().ok(),
            other => other.to_f64().ok(),
        })
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.get(key, "a list of strings", |value| {
            value
                .to_vec()
                .ok()?
                .iter()
                .map(|x| x.to_string().ok().map(String::as_str))
                .collect()
        })
    }

    pub(super) fn sizes(&self, key: &str) -> Result<Option<Vec<u64>>> {
        self.get(key, "a list of counts", |value| {
            value.to_vec().ok()?.iter().map(count).collect()
        })
    }
}

pub(super) fn count(value: &Value) -> Option<u64> {
    match *value {
        Value::I8(n) => n.try_into().ok(),
        Value::I16(n) => n.try_into().ok(),
        Value::I32(n) => n.try_into().ok(),
        Value::I64(n) => n.try_into().ok(),
        ref other => other.to_u64().ok(),
    }
}
