//! A cheap hash that shows whether a decoder's weights have changed.

use super::Decoder;
use crate::weights::{Parameters, Weights};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Number of elements that are hashed per unpacked tensor, at most.
const LOOKED_AT: usize = 16;

impl Decoder {
    /// Returns a hash of the config, the adapter and a sample of the weights.
    ///
    /// The sample is 16 elements of each unpacked tensor, and the middle row of each packed matrix
    /// (norms and biases next to packed matrices are hashed whole). That is enough to notice
    /// training, which changes every element, and other weights; it does not notice a change of a
    /// single element.
    pub(crate) fn stamp(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        format!("{:?}", self.config).hash(&mut hasher);
        match &self.weights {
            Weights::Full(parameters) => look_at(parameters, &mut hasher),
            Weights::Frozen(frozen) => {
                for (index, slot) in frozen.layout.slots().iter().enumerate() {
                    let span = slot.span(index);
                    if !slot.is_matrix() {
                        bytemuck::cast_slice::<f32, u8>(self.weights.vector(&span)).hash(&mut hasher);
                        continue;
                    }
                    let (matrix, middle) = (self.weights.matrix(&span), slot.shape[0] / 2);
                    let mut row = vec![0.0; matrix.columns()];
                    matrix.unpack(middle..middle + 1, &mut row);
                    bytemuck::cast_slice::<f32, u8>(&row).hash(&mut hasher);
                }
            }
        }
        if let Some(adapter) = &self.adapter {
            format!("{:?}", adapter.config).hash(&mut hasher);
            look_at(&adapter.parameters, &mut hasher);
        }
        hasher.finish()
    }
}

/// Hashes up to [`LOOKED_AT`] evenly spaced elements of each tensor.
fn look_at(parameters: &Parameters, hasher: &mut DefaultHasher) {
    for slot in parameters.layout.slots() {
        let values = &parameters.buckets[slot.bucket][slot.range()];
        let every = values.len().div_ceil(LOOKED_AT).max(1);
        values
            .iter()
            .step_by(every)
            .for_each(|value| value.to_bits().hash(hasher));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;
    use crate::tiny_config::tiny_config;
    use crate::weights::Dtype;

    /// Doubles one matrix. In 12 bits, only its table of exponents differs then.
    #[test]
    fn a_packed_matrix_that_is_doubled_changes_the_stamp() {
        let config = ModelConfig {
            hidden_size: 128,
            ..tiny_config()
        };
        let parameters = Parameters::random(&config, 1);
        let mut doubled = parameters.clone();
        let slot = doubled
            .layout
            .slots()
            .iter()
            .find(|slot| slot.is_matrix())
            .unwrap()
            .clone();
        doubled.buckets[slot.bucket][slot.range()]
            .iter_mut()
            .for_each(|x| *x *= 2.0);
        for dtype in [Dtype::Bf16, Dtype::F16, Dtype::Q8_0] {
            let stamp = |parameters: &Parameters| {
                let weights = Weights::packed_for_test(parameters, dtype);
                Decoder::new(config.clone(), weights).unwrap().stamp()
            };
            assert_eq!(stamp(&parameters), stamp(&parameters), "{dtype:?}");
            assert_ne!(stamp(&parameters), stamp(&doubled), "{dtype:?}");
        }
    }
}
