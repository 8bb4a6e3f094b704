//! The CPU kernels under the model, forward and backward, one file per operation.
//!
//! Matrices are row-major slices, and a row is a token unless a function says otherwise. A function
//! `x_backward` is the gradient of `x`; its doc says which outputs it overwrites and which it adds
//! to.
//!
//! Work is split so that one thread sums each output element in a fixed order. Results therefore do
//! not depend on the number of threads.

pub mod element;
pub mod buffer;
pub mod simd;
pub mod matmul;
pub mod linear;
pub mod rms_norm;
pub mod rope;
pub mod attention;
pub mod swiglu;
pub mod cross_entropy;
pub mod embedding;

use buffer::Buffer;

/// Rows per task in the operations that work row by row.
const ROWS_PER_TASK: usize = 32;
/// Elements per task in the operations that work element by element.
const ELEMENTS_PER_TASK: usize = 1 << 15;

// Each thread's scratch memory; see `with_scratch`.
thread_local! {
    static SCRATCH: std::cell::Cell<Buffer> = const { std::cell::Cell::new(Buffer::new()) };
}

/// Calls `work` with `len` elements of scratch memory, whose content is arbitrary. Each thread
/// reuses its own buffer, because fresh memory is expensive: the system clears every new page.
fn with_scratch(len: usize, work: impl FnOnce(&mut [f32])) {
    let mut scratch = SCRATCH.take();
    work(scratch.sized(len));
    SCRATCH.set(scratch);
}

#[cfg(test)]
pub(crate) mod testing;
