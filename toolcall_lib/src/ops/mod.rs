//! The kernels under the model, forward and backward, one file an op.
//!
//! All matrices are row major f32 slices; a row is a token. Work is split so that each output element is summed by one
//! thread in a fixed order: results do not depend on the number of threads.

pub mod simd;
pub mod matmul;
pub mod tiles;
pub mod rms_norm;
pub mod rope;
pub mod heads;
pub mod attention;
pub mod swiglu;
pub mod cross_entropy;
pub mod embedding;

/// Rows that one task handles in the ops that work row by row.
const ROWS_PER_TASK: usize = 32;

thread_local! {
    static SCRATCH: std::cell::Cell<Vec<f32>> = const { std::cell::Cell::new(Vec::new()) };
}

/// Gives `work` `len` elements of scratch, with whatever they held. Each thread keeps its own: fresh memory is dear.
fn with_scratch(len: usize, work: impl FnOnce(&mut [f32])) {
    let mut scratch = SCRATCH.take();
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    work(&mut scratch[..len]);
    SCRATCH.set(scratch);
}

#[cfg(test)]
mod testing;
