//! The interface between the engine and the device that runs its kernels.

use crate::error::Result;
use crate::ops::matmul::Precision;
use std::ffi::c_void;
use std::fmt::Debug;
use std::ptr::NonNull;

/// Runs kernels: a GPU, or in tests the host. Everything happens in the order in which it is asked
/// for.
pub(crate) trait Driver: Debug + Send + Sync {
    /// Allocates device memory; its address is a multiple of 256.
    fn alloc(&self, bytes: usize) -> Result<u64>;

    /// Frees memory of [`Driver::alloc`] as soon as everything asked for before is done.
    fn free(&self, address: u64);

    /// Allocates pinned host memory, which the device copies to at full speed; its address is a
    /// multiple of 16.
    fn alloc_host(&self, bytes: usize) -> Result<NonNull<u8>>;

    /// Frees the `bytes` of [`Driver::alloc_host`]; no copy to them may be in progress.
    fn free_host(&self, memory: NonNull<u8>, bytes: usize);

    /// Copies to the device; the caller may change `from` as soon as this returns.
    fn upload(&self, to: u64, from: &[u8]) -> Result<()>;

    /// Waits until everything asked for before is done, and copies from the device.
    fn download(&self, from: u64, to: &mut [u8]) -> Result<()>;

    /// Fills memory with zeros.
    fn zero(&self, at: u64, bytes: usize) -> Result<()>;

    /// Starts a kernel. `args` point to its arguments; `shared` is its dynamic shared memory in
    /// bytes.
    fn launch(
        &self,
        kernel: &'static str,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        args: &mut [*mut c_void],
    ) -> Result<()>;

    /// Computes a matrix product, with cuBLASLt on a GPU.
    fn gemm(&self, gemm: &Gemm) -> Result<()>;
}

/// Type of the elements in device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Element {
    F32,
    Bf16,
    U32,
}

impl Element {
    /// Returns the size of an element in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// Rounding of f32 to bf16; the numbers are those in `kernels/common.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Rounds to the nearest bf16; of two equally near, to the even one.
    Nearest,
    /// Rounds up or down by a hash of the value, like
    /// [`Stochastic`](crate::ops::element::Stochastic).
    Stochastic,
}

impl Rounding {
    /// Returns the rounding of weights that are trained with `precision`.
    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::Bf16Stochastic => Self::Stochastic,
            Precision::F32 | Precision::Bf16 => Self::Nearest,
        }
    }
}

/// A matrix of a [`Gemm`], stored row by row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    /// Address of the first element.
    pub address: u64,
    /// f32 or bf16.
    pub element: Element,
    /// Elements from one stored row to the next.
    pub stride: usize,
    /// Exchanges rows and columns in the product; always false for the result.
    pub transposed: bool,
}

/// A matrix product `d = alpha · op(a) · op(b) + beta · d`, with `op(a)` `[m, k]`, `op(b)` `[k, n]`
/// and `d` `[m, n]`. `a` and `b` have the same type; sums are f32. `d` is not read if `beta` is 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gemm {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub alpha: f32,
    pub beta: f32,
    pub a: Operand,
    pub b: Operand,
    pub d: Operand,
}
