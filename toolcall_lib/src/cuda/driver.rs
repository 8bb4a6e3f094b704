//! What stands between the engine and whatever runs its kernels.

use crate::error::Result;
use crate::ops::matmul::Precision;
use std::ffi::c_void;
use std::fmt::Debug;
use std::ptr::NonNull;

/// What runs kernels: a GPU, or in tests the host. Everything happens in the order in which it is asked for.
pub(crate) trait Driver: Debug + Send + Sync {
    /// Memory on the device; its address is a multiple of 256.
    fn alloc(&self, bytes: usize) -> Result<u64>;

    /// Gives back what [`Driver::alloc`] gave, when all that was asked for before is done.
    fn free(&self, address: u64);

    /// Memory of the host that the device copies to at full speed; its address is a multiple of 16.
    fn alloc_host(&self, bytes: usize) -> Result<NonNull<u8>>;

    /// Gives back what [`Driver::alloc_host`] gave for so many bytes, when nothing is copied there any more.
    fn free_host(&self, memory: NonNull<u8>, bytes: usize);

    /// Copies to the device; `from` may be changed as soon as this returns.
    fn upload(&self, to: u64, from: &[u8]) -> Result<()>;

    /// Copies from the device, when all that was asked for before is done.
    fn download(&self, from: u64, to: &mut [u8]) -> Result<()>;

    /// Fills memory with zeros.
    fn zero(&self, at: u64, bytes: usize) -> Result<()>;

    /// Starts a kernel. `args` point to its arguments, `shared` is in bytes.
    fn launch(
        &self,
        kernel: &'static str,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        args: &mut [*mut c_void],
    ) -> Result<()>;

    /// A matrix product: cuBLASLt on a GPU.
    fn gemm(&self, gemm: &Gemm) -> Result<()>;
}

/// Of what type the elements of device memory are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Element {
    F32,
    Bf16,
    U32,
}

impl Element {
    /// Size in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// How f32 becomes bf16; numbered as in `kernels/common.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To the nearest; of two, to the even one.
    Nearest,
    /// As [`round_stochastically`](crate::ops::element::round_stochastically) does.
    Stochastic,
}

impl Rounding {
    /// Of weights that are trained.
    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::Bf16Stochastic => Self::Stochastic,
            Precision::F32 | Precision::Bf16 => Self::Nearest,
        }
    }
}

/// One matrix of a [`Gemm`], row major as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    /// Where its first element is.
    pub address: u64,
    /// f32 or bf16.
    pub element: Element,
    /// Elements from one stored row to the next.
    pub stride: usize,
    /// The product takes it with rows and columns exchanged; never of the result.
    pub transposed: bool,
}

/// `d = alpha · op(a) · op(b) + beta · d`, where `op(a)` is `[m, k]`, `op(b)` is `[k, n]` and `d` is `[m, n]`. `a` and `b` are of the
/// same type; sums are f32. With `beta` 0, what `d` held is not read.
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
