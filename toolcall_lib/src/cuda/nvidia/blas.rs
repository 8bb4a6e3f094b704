//! Matrix products through cuBLASLt.
//!
//! A product of a new shape is prepared once and kept as a plan. Choosing an algorithm takes most
//! of a millisecond, and the number of rows differs from tree to tree. So products of about as many
//! rows share an algorithm.

use crate::cuda::driver::{Element, Gemm, Operand};
use crate::error::{Error, Result};
use cudarc::cublaslt::result::{
    CublasError, create_handle, create_matmul_desc, create_matmul_pref, create_matrix_layout, destroy_handle,
    destroy_matmul_desc, destroy_matmul_pref, destroy_matrix_layout, get_matmul_algo_heuristic, matmul,
    set_matmul_desc_attribute, set_matmul_pref_attribute,
};
use cudarc::cublaslt::sys::{self, cublasLtMatmulDescAttributes_t as Attribute};
use cudarc::driver::result::{free_async, malloc_async};
use cudarc::driver::sys::CUstream;
use std::collections::HashMap;
use std::mem::MaybeUninit;

/// Scratch memory of a product in bytes: NVIDIA's recommendation for Hopper, and more than Ampere
/// needs.
static WORKSPACE: usize = 32 << 20;

/// Everything that decides about the best algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    sizes: [usize; 3],
    elements: [Element; 2],
    strides: [usize; 3],
    transposed: [bool; 2],
    alignments: [u32; 3],
    adds: bool,
}

/// A product in cuBLASLt's terms.
struct Description {
    product: sys::cublasLtMatmulDesc_t,
    a: sys::cublasLtMatrixLayout_t,
    b: sys::cublasLtMatrixLayout_t,
    d: sys::cublasLtMatrixLayout_t,
}

/// A prepared product.
struct Plan {
    of: Description,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

/// cuBLASLt on one stream.
pub(super) struct Blas {
    handle: sys::cublasLtHandle_t,
    stream: CUstream,
    workspace: u64,
    plans: HashMap<Shape, Plan>,
    /// Algorithms by the shape of [`Shape::rounded`].
    algorithms: HashMap<Shape, sys::cublasLtMatmulAlgo_t>,
}

/// Makes an error from one of cuBLASLt.
fn failed(error: CublasError) -> Error {
    Error::invalid("cuBLASLt", error)
}

impl Blas {
    /// Opens cuBLASLt on a stream and allocates its scratch memory.
    pub fn new(stream: CUstream) -> Result<Self> {
        let doing = "allocating scratch for matrix products";
        Ok(Self {
            handle: create_handle().map_err(failed)?,
            stream,
            // SAFETY: the stream lives as long as the driver, which owns this value.
            workspace: unsafe { malloc_async(stream, WORKSPACE) }.map_err(super::cuda(doing))?,
            plans: HashMap::new(),
            algorithms: HashMap::new(),
        })
    }

    /// Computes a product, with the plan for its shape.
    pub fn gemm(&mut self, gemm: &Gemm) -> Result<()> {
        let shape = shape(gemm);
        if !self.plans.contains_key(&shape) {
            let plan = self.plan(gemm, &shape)?;
            self.plans.insert(shape, plan);
        }
        let Plan { of, algorithm } = &self.plans[&shape];
        // SAFETY: the engine names matrices in device memory. cuBLASLt is column major: a row-major
        // matrix is the transpose of a column-major one, and dᵀ = op(b)ᵀ · op(a)ᵀ, so only the
        // factors change places.
        unsafe {
            matmul(
                self.handle,
                of.product,
                (&raw const gemm.alpha).cast(),
                (&raw const gemm.beta).cast(),
                gemm.b.address as _,
                of.b,
                gemm.a.address as _,
                of.a,
                gemm.d.address as _,
                of.d,
                gemm.d.address as _,
                of.d,
                algorithm,
                self.workspace as _,
                WORKSPACE,
                self.stream.cast(),
            )
            .map_err(failed)
        }
    }

    /// Prepares products of a shape.
    fn plan(&mut self, gemm: &Gemm, shape: &Shape) -> Result<Plan> {
        let of = Description::new(gemm, shape.sizes)?;
        // 1. Take the algorithm for about as many rows, if it also takes exactly as many.
        let near = shape.rounded();
        let algorithm = match self.algorithms.get(&near) {
            Some(&known) => known,
            None => {
                let of_near = Description::new(gemm, near.sizes)?;
                let found = self.algorithm(&of_near, shape);
                of_near.destroy();
                *self.algorithms.entry(near).insert_entry(found?).get()
            }
        };
        // 2. Otherwise choose one for exactly these rows.
        let algorithm = match self.takes(&of, &algorithm) {
            true => algorithm,
            false => self.algorithm(&of, shape)?,
        };
        Ok(Plan { of, algorithm })
    }

    /// Returns the first algorithm of cuBLASLt's heuristic for a product.
    fn algorithm(&self, of: &Description, shape: &Shape) -> Result<sys::cublasLtMatmulAlgo_t> {
        // SAFETY: the library is loaded, and all handles are alive.
        unsafe {
            let preference = preference(shape)?;
            let found =
                get_matmul_algo_heuristic(self.handle, of.product, of.b, of.a, of.d, of.d, preference);
            destroy_matmul_pref(preference).map_err(failed)?;
            Ok(found.map_err(failed)?.algo)
        }
    }

    /// Returns true if an algorithm can compute a product with our scratch memory.
    fn takes(&self, of: &Description, algorithm: &sys::cublasLtMatmulAlgo_t) -> bool {
        let mut checked = MaybeUninit::uninit();
        // SAFETY: all handles are alive, and `checked` is read only after it was written.
        unsafe {
            let answer = sys::cublasLtMatmulAlgoCheck(
                self.handle,
                of.product,
                of.b,
                of.a,
                of.d,
                of.d,
                algorithm,
                checked.as_mut_ptr(),
            );
            answer.result().is_ok() && checked.assume_init().workspaceSize <= WORKSPACE
        }
    }

    /// Frees all plans and the scratch memory.
    ///
    /// # Safety
    /// The driver's context is current, and no product is running.
    pub unsafe fn close(&mut self) {
        // SAFETY: the caller keeps the contract; this value made everything here.
        unsafe {
            self.plans.drain().for_each(|(_, plan)| plan.of.destroy());
            free_async(self.workspace, self.stream).ok();
            destroy_handle(self.handle).ok();
        }
    }
}

impl Shape {
    /// Rounds the number of rows up to one of four numbers per octave. The algorithm is chosen for
    /// that many. `m` or `k` counts rows only if it is not also the length of a stored row.
    fn rounded(self) -> Self {
        let [m, n, k] = self.sizes;
        let up = |rows: usize| rows.next_multiple_of((rows.next_power_of_two() / 8).max(1));
        let [a_transposed, b_transposed] = self.transposed;
        let m = if a_transposed { m } else { up(m) };
        let k = if a_transposed && !b_transposed { up(k) } else { k };
        Self {
            sizes: [m, n, k],
            ..self
        }
    }
}

impl Description {
    /// Describes the product of matrices like those of `gemm`, with these sizes, `[m, n, k]`.
    fn new(gemm: &Gemm, [m, n, k]: [usize; 3]) -> Result<Self> {
        let Gemm { a, b, d, .. } = *gemm;
        // 1. Layouts as stored, before any transposition.
        let stored = |operand: &Operand, rows, columns| match operand.transposed {
            false => layout(operand, rows, columns),
            true => layout(operand, columns, rows),
        };
        // 2. No TF32: a caller who asks for f32 wants its digits.
        let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let product = create_matmul_desc(compute, sys::cudaDataType_t::CUDA_R_32F).map_err(failed)?;
        for (attribute, operand) in [
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSA, b),
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSB, a),
        ] {
            let operation = i32::from(operand.transposed); // 0 is CUBLAS_OP_N, 1 is CUBLAS_OP_T
            let operation = (&raw const operation).cast();
            // SAFETY: the description was just made, and the attribute is an i32.
            unsafe { set_matmul_desc_attribute(product, attribute, operation, size_of::<i32>()) }
                .map_err(failed)?;
        }
        Ok(Self {
            product,
            a: stored(&a, m, k)?,
            b: stored(&b, k, n)?,
            d: layout(&d, m, n)?,
        })
    }

    /// Frees the descriptions; no product may be using them.
    fn destroy(self) {
        // SAFETY: this value made everything here, and it is gone afterwards.
        unsafe {
            destroy_matmul_desc(self.product).ok();
            for layout in [self.a, self.b, self.d] {
                destroy_matrix_layout(layout).ok();
            }
        }
    }
}

/// Describes a row-major matrix as the column-major one in the same memory.
fn layout(operand: &Operand, rows: usize, columns: usize) -> Result<sys::cublasLtMatrixLayout_t> {
    let element = match operand.element {
        Element::Bf16 => sys::cudaDataType_t::CUDA_R_16BF,
        _ => sys::cudaDataType_t::CUDA_R_32F,
    };
    create_matrix_layout(element, columns as u64, rows as u64, operand.stride as i64).map_err(failed)
}

/// Returns the key of a product's plan; alignments are at most 256 bytes.
fn shape(gemm: &Gemm) -> Shape {
    let operands = [gemm.a, gemm.b, gemm.d];
    Shape {
        sizes: [gemm.m, gemm.n, gemm.k],
        elements: [gemm.a.element, gemm.d.element],
        strides: operands.map(|operand| operand.stride),
        transposed: [gemm.a.transposed, gemm.b.transposed],
        alignments: operands.map(|operand| 1 << operand.address.trailing_zeros().min(8)),
        adds: gemm.beta != 0.0,
    }
}

/// Makes the search preference: alignments, scratch memory, and f32 for partial sums.
///
/// # Safety
/// The library is loaded.
unsafe fn preference(shape: &Shape) -> Result<sys::cublasLtMatmulPreference_t> {
    use sys::cublasLtMatmulPreferenceAttributes_t as Preference;
    let preference = create_matmul_pref().map_err(failed)?;
    let [a, b, d] = shape.alignments;
    // If a sum is split among blocks, its parts are f32 even for a bf16 result.
    let schemes = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
    // SAFETY: the workspace's size is a usize, the others are u32.
    unsafe {
        let most = Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        set_matmul_pref_attribute(
            preference,
            most,
            (&raw const WORKSPACE).cast(),
            size_of::<usize>(),
        )
        .map_err(failed)?;
        for (attribute, value) in [
            (Preference::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, b),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, a),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, d),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, d),
        ] {
            let value = (&raw const value).cast();
            set_matmul_pref_attribute(preference, attribute, value, size_of::<u32>()).map_err(failed)?;
        }
    }
    Ok(preference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(sizes: [usize; 3], transposed: [bool; 2]) -> Shape {
        Shape {
            sizes,
            elements: [Element::Bf16; 2],
            strides: [8; 3],
            transposed,
            alignments: [256; 3],
            adds: false,
        }
    }

    #[test]
    fn only_rows_are_rounded() {
        let rounded = |sizes, transposed| shape(sizes, transposed).rounded().sizes;
        // y = x · Wᵀ and dx = dy · W: m counts rows.
        assert_eq!(rounded([1137, 1001, 999], [false, true]), [1280, 1001, 999]);
        assert_eq!(rounded([1137, 1001, 999], [false, false]), [1280, 1001, 999]);
        // dW = dyᵀ · x: k counts rows.
        assert_eq!(rounded([1001, 999, 1137], [true, false]), [1001, 999, 1280]);
        let few = [1, 7, 8, 9, 33, 64, 65].map(|rows| rounded([rows, 1, 1], [false, true])[0]);
        assert_eq!(few, [1, 7, 8, 10, 40, 64, 80]);
    }
}
