//! f32 weights as tensors of candle.

use super::{Parameters, Slot};
use candle_core::{Device, Result, Tensor};
use std::collections::HashMap;

impl Parameters {
    /// Makes a tensor of each bucket, whose memory it takes over, and returns views of them by the
    /// names of the layout.
    pub(crate) fn into_candle(self) -> Result<HashMap<String, Tensor>> {
        let owner = |bucket: Vec<f32>| {
            let len = bucket.len();
            Tensor::from_vec(bucket, len, &Device::Cpu)
        };
        let buckets: Vec<Tensor> = self.buckets.into_iter().map(owner).collect::<Result<_>>()?;
        let view = |slot: &Slot| {
            let elements = buckets[slot.bucket].narrow(0, slot.offset, slot.len())?;
            Ok((slot.name.clone(), elements.reshape(slot.shape.as_slice())?))
        };
        self.layout.slots().iter().map(view).collect()
    }
}
