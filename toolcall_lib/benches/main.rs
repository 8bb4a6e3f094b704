//! Speed of the kernels and of a training step, to see what a change costs: `cargo bench`, or
//! `cargo bench -- NAME`.
//!
//! Shapes are those of SmolLM2-135M and a batch of eight conversations. Throughput counts
//! floating-point operations for products, and elements or rows elsewhere, so that figures compare
//! across shapes.

mod matmul;
mod ops;
mod step;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Rows of a tree of eight conversations, about.
const ROWS: usize = 900;
/// Width of the residual stream, of the MLP, and size of the vocabulary.
const HIDDEN: usize = 576;
const INTERMEDIATE: usize = 1536;
const VOCABULARY: usize = 49152;

fn main() {
    divan::main();
}

/// Normal numbers, the same each time.
fn random(len: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(len as u64);
    (0..len).map(|_| StandardNormal.sample(&mut rng)).collect()
}
