//! In what weights are held in memory.

use super::Slot;
use crate::error::{Error, Result};
use candle_core::quantized::GgmlDType;
use std::str::FromStr;

/// In what a model's weights are held in memory, as `dtype` of transformers' `from_pretrained`. Only [`Dtype::F32`] can be
/// trained; all others are frozen and take a LoRA adapter. Norms and biases are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtype {
    /// 4 bytes an element.
    #[default]
    F32,
    /// 2 bytes an element.
    Bf16,
    /// llama.cpp's 8-bit blocks of 32: 1.06 bytes an element.
    Q8_0,
    /// llama.cpp's 4-bit blocks of 32: 0.56 bytes an element; embedding and head are Q8_0, since a model feels them most.
    Q4_0,
    /// As the file has it: f32, f16, bf16, or the blocks of a GGUF file, whatever their type.
    Auto,
}

impl Dtype {
    const NAMES: [(&str, Self); 5] = [
        ("f32", Self::F32),
        ("bf16", Self::Bf16),
        ("q8_0", Self::Q8_0),
        ("q4_0", Self::Q4_0),
        ("auto", Self::Auto),
    ];

    /// What a tensor that is `stored` in a file is packed as. Rows that are not whole blocks stay bf16.
    pub(super) fn packed(self, slot: &Slot, stored: GgmlDType) -> GgmlDType {
        let in_block = slot.name.starts_with("model.layers.");
        let wanted = match self {
            _ if slot.shape.len() < 2 => GgmlDType::F32,
            Self::F32 => GgmlDType::F32,
            Self::Bf16 => GgmlDType::BF16,
            Self::Q4_0 if in_block => GgmlDType::Q4_0,
            Self::Q8_0 | Self::Q4_0 => GgmlDType::Q8_0,
            Self::Auto => stored,
        };
        if slot.columns().is_multiple_of(wanted.block_size()) {
            wanted
        } else {
            GgmlDType::BF16
        }
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, dtype)| *dtype).ok_or_else(|| {
            let names = Self::NAMES.map(|(name, _)| name).join(", ");
            Error::invalid("dtype", format!("`{name}` is not known; expected one of {names}"))
        })
    }
}
