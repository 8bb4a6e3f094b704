//! The rotary scaling of Llama 3.1 and later. A GGUF file has it as a tensor of factors, one per
//! frequency.

use super::Gguf;
use crate::config::{Llama3RopeScaling, ModelConfig};
use crate::error::Result;

pub(super) const FACTORS: &str = "rope_freqs.weight";

/// Returns the factors of a config with a scaling: how many times slower each frequency is than
/// without.
pub(super) fn factors(config: &ModelConfig) -> Vec<f32> {
    let plain = ModelConfig {
        rope_scaling: None,
        ..config.clone()
    };
    let pairs = plain.inverse_frequencies().into_iter();
    pairs
        .zip(config.inverse_frequencies())
        .map(|(plain, slow)| plain / slow)
        .collect()
}

/// Finds the scaling that gives the factors in the file; `config` is without one.
///
/// The largest factor is `factor`; the other three numbers are the same in every published Llama 3.
pub(super) fn scaling(gguf: &Gguf, config: &ModelConfig) -> Result<Option<Llama3RopeScaling>> {
    if !gguf.content.tensor_infos.contains_key(FACTORS) {
        return Ok(None);
    }
    let mut factors = vec![0.0; config.head_dim / 2];
    gguf.dequantize(FACTORS, 0, &mut factors)?;
    let scaling = Llama3RopeScaling {
        factor: factors.iter().copied().fold(1.0, f32::max).into(),
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    // The factors must be those that this scaling gives; another scaling is refused.
    let expected = self::factors(&ModelConfig {
        rope_scaling: Some(scaling.clone()),
        ..config.clone()
    });
    let same = factors
        .iter()
        .zip(&expected)
        .all(|(a, b)| (a - b).abs() <= 1e-3 * b);
    if same {
        Ok(Some(scaling))
    } else {
        Err(gguf.wrong(
            FACTORS,
            "these rotary factors differ from Llama 3's, and no others are supported",
        ))
    }
}
