//! The types in which weights are held in memory.

use super::Slot;
use crate::error::{Error, Result};
use candle_core::quantized::GgmlDType;
use std::str::FromStr;

/// Type of a model's weights in memory, like `dtype` of transformers' `from_pretrained`. Only
/// [`Dtype::F32`] can be trained; all others are frozen and take a LoRA adapter. Norms and biases
/// are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtype {
    /// 4 bytes per element.
    #[default]
    F32,
    /// 2 bytes per element; about 1.6 on a processor that multiplies bf16, without loss, if matrix
    /// rows are whole vectors of 32.
    Bf16,
    /// 2 bytes per element, with more digits and a smaller range than bf16. A processor that
    /// multiplies bf16 gets it rounded to that first.
    F16,
    /// llama.cpp's 8-bit blocks of 32: 1.06 bytes per element.
    Q8_0,
    /// llama.cpp's 4-bit blocks of 32: 0.56 bytes per element; embedding and head are Q8_0, because
    /// a model is most sensitive there.
    Q4_0,
    /// llama.cpp's mix of 4-bit and 6-bit blocks of 256, about 0.6 bytes per element; 5-bit and
    /// 8-bit blocks of 32 if matrix rows are not whole blocks.
    Q4KM,
    /// The type in the file: f32, f16, bf16, or the blocks of a GGUF file, of any type.
    Auto,
}

impl Dtype {
    const NAMES: [(&str, Self); 7] = [
        ("f32", Self::F32),
        ("bf16", Self::Bf16),
        ("f16", Self::F16),
        ("q8_0", Self::Q8_0),
        ("q4_0", Self::Q4_0),
        ("q4_k_m", Self::Q4KM),
        ("auto", Self::Auto),
    ];

    /// The name by which [`Dtype::from_str`] knows it.
    pub(crate) fn name(self) -> &'static str {
        let known = Self::NAMES.iter().find(|(_, dtype)| *dtype == self);
        known.map_or("auto", |(name, _)| name)
    }

    /// Returns the type in which a tensor, `stored` in another type in its file, is packed in a
    /// model of `layers` blocks. Tensors whose rows are not whole blocks stay bf16.
    pub(super) fn packed(self, slot: &Slot, stored: GgmlDType, layers: usize) -> GgmlDType {
        let in_block = slot.name.starts_with("model.layers.");
        let wanted = match self {
            _ if slot.shape.len() < 2 => GgmlDType::F32,
            Self::F32 => GgmlDType::F32,
            Self::Bf16 => GgmlDType::BF16,
            Self::F16 => GgmlDType::F16,
            Self::Q4KM => mixed(slot, layers),
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

/// Returns the type of llama.cpp's Q4_K_M: 6 bits for embedding and head, and for those value and
/// down projections that are in the first or last eighth of the blocks or every third between; 4
/// bits for the rest.
fn mixed(slot: &Slot, layers: usize) -> GgmlDType {
    let mut parts = slot.name.split('.').skip(2);
    let layer = parts.next().and_then(|layer| layer.parse::<usize>().ok());
    let sensitive = ["v_proj.weight", "down_proj.weight"]
        .iter()
        .any(|end| slot.name.ends_with(end));
    let finer = match layer {
        None => true,
        Some(layer) => {
            let eighth = layers / 8;
            sensitive && (layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2)
        }
    };
    match (finer, slot.columns().is_multiple_of(GgmlDType::Q4K.block_size())) {
        (true, true) => GgmlDType::Q6K,
        (false, true) => GgmlDType::Q4K,
        (true, false) => GgmlDType::Q8_0,
        (false, false) => GgmlDType::Q5_0,
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
