//! Dropout with the masks that the CPU draws (`kernels/dropout.cu`).

use super::{Device, THREADS};
use crate::cuda::buffer::{Argument, View};
use crate::error::Result;
use crate::model::lora::Mask;

/// A dropout mask: a stream of ChaCha8, with one 32-bit word per element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    /// Key of the cipher, eight bytes in each word.
    key: [u64; 4],
    stream: u64,
    dropped: u32,
    keep: f32,
}

impl Dropout {
    /// Converts a mask of the CPU.
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
    /// Computes `y = dropout(x)`, or `y += dropout(x)` if `adds`: drops an element when its random
    /// word is below the mask's threshold, and divides the others by the probability of keeping
    /// one.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::testing::shapes;
    use crate::cuda::tests::benches;
    use crate::model::Projection;
    use crate::model::lora::PassId;
    use crate::ops::testing::random;

    #[test]
    fn the_elements_are_dropped_that_the_cpu_drops() {
        for bench in benches() {
            for (rows, width) in shapes([(1, 8), (100, 40), (3, 4096)], [(1400, 3072)]) {
                let mask = Mask {
                    pass: PassId {
                        seed: 11,
                        step: 70_000,
                        tree: 3,
                    },
                    layer: 2,
                    projection: Projection::GateUp,
                    p: 0.3,
                };
                let (x, x_host) = bench.activations(&random(rows * width, 1));
                let (y, y_host) = bench.activations(&random(rows * width, 2));
                let dropout = Dropout::of(&mask);
                let mut want = x_host;
                mask.apply(&mut want, width);
                let out = bench.room(want.len());
                bench.device.dropout(x.all(), out.all(), &dropout, false).unwrap();
                let zeros = |x: &[f32]| x.iter().map(|&x| x == 0.0).collect::<Vec<_>>();
                assert_eq!(zeros(&bench.read(out.all())), zeros(&want));
                bench.assert_near(out.all(), &want, "what is kept");
                bench.device.dropout(x.all(), y.all(), &dropout, true).unwrap();
                let want: Vec<f32> = want.iter().zip(&y_host).map(|(x, y)| x + y).collect();
                bench.assert_near(y.all(), &want, "what is added");
            }
        }
    }
}
