//! Dropout on the device, with the masks that the CPU draws.

use super::buffer::{Argument, View};
use super::ops::{Device, THREADS};
use crate::error::Result;
use crate::model::lora::Mask;

/// A mask of dropped elements: the words of a stream of ChaCha8, one an element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    /// Its key, eight bytes each.
    key: [u64; 4],
    stream: u64,
    dropped: u32,
    keep: f32,
}

impl Dropout {
    /// The mask that the CPU draws.
    pub fn of(mask: &Mask) -> Self {
        let (words, mut key) = (mask.words(), [0; 4]);
        let seed = words.get_seed();
        for (word, bytes) in key.iter_mut().zip(seed.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Self {
            key,
            stream: words.get_stream(),
            dropped: mask.dropped(),
            keep: mask.keep(),
        }
    }
}

impl Device {
    /// `y = x`, or with `adds` `y += x`, where elements of `x` are dropped and the others divided by the probability that they are kept.
    pub fn dropout(&self, x: View, y: View, mask: &Dropout, adds: bool) -> Result<()> {
        let kernel = self.either("dropout_f32", "dropout_bf16");
        let [key0, key1, key2, key3] = mask.key.map(|word| Argument::from(word as usize));
        let args = [
            x.into(),
            y.into(),
            x.len.into(),
            key0,
            key1,
            key2,
            key3,
            (mask.stream as usize).into(),
            mask.dropped.into(),
            mask.keep.into(),
            u32::from(adds).into(),
        ];
        self.run(kernel, x.len.div_ceil(16 * THREADS), 0, args)
    }
}
