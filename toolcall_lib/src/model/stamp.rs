//! A number by which changed weights are noticed.

use super::Decoder;
use crate::weights::{Parameters, Weights};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Elements of a tensor that are looked at.
const LOOKED_AT: usize = 16;

impl Decoder {
    /// A number that is another, but for chance, when the config, the adapter or the weights are others. Of each tensor it looks at 16
    /// elements, of a packed one at a row: enough for training, which changes them all, and for other weights; not for the change of
    /// a single element.
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
                    matrix
                        .parts(middle..middle + 1)
                        .for_each(|row| row.bytes.hash(&mut hasher));
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
