//! The kernels under the model, forward and backward, one file an op.
//!
//! All matrices are row major slices; a row is a token. Work is split so that each output element is summed by one
//! thread in a fixed order: results do not depend on the number of threads.

pub mod element;
pub mod buffer;
pub mod simd;
pub mod matmul;
pub mod tiles;
pub mod rms_norm;
pub mod rope;
pub mod attention;
pub mod swiglu;
pub mod cross_entropy;
pub mod embedding;

use buffer::Buffer;

/// Rows that one task handles in the ops that work row by row.
const ROWS_PER_TASK: usize = 32;
/// Elements that one task handles in the ops that work element by element.
const ELEMENTS_PER_TASK: usize = 1 << 15;

thread_local! {
    static SCRATCH: std::cell::Cell<Buffer> = const { std::cell::Cell::new(Buffer::new()) };
}

/// Gives `work` `len` elements of scratch, with whatever they held. Each thread keeps its own: fresh memory is dear.
fn with_scratch(len: usize, work: impl FnOnce(&mut [f32])) {
    let mut scratch = SCRATCH.take();
    work(scratch.sized(len));
    SCRATCH.set(scratch);
}

#[cfg(test)]
mod testing;
