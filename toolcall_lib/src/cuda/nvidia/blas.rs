//! Matrix products through cuBLASLt.
//!
//! The algorithm for a shape is chosen once and kept as a plan.

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

/// A prepared product: descriptor, layouts and algorithm.
struct Plan {
    descriptor: sys::cublasLtMatmulDesc_t,
    a: sys::cublasLtMatrixLayout_t,
    b: sys::cublasLtMatrixLayout_t,
    d: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

/// cuBLASLt on one stream.
pub(super) struct Blas {
    handle: sys::cublasLtHandle_t,
    stream: CUstream,
    workspace: u64,
    plans: HashMap<Shape, Plan>,
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
        })
    }

    /// Computes a product, with the plan for its shape.
    pub fn gemm(&mut self, gemm: &Gemm) -> Result<()> {
        let shape = shape(gemm);
        if !self.plans.contains_key(&shape) {
            let plan = self.plan(gemm, &shape)?;
            self.plans.insert(shape, plan);
        }
        let plan = &self.plans[&shape];
        // SAFETY: the engine names matrices in device memory. cuBLASLt is column major: a row-major
        // matrix is the transpose of a column-major one, and dᵀ = op(b)ᵀ · op(a)ᵀ, so only the
        // factors change places.
        unsafe {
            matmul(
                self.handle,
                plan.descriptor,
                (&raw const gemm.alpha).cast(),
                (&raw const gemm.beta).cast(),
                gemm.b.address as _,
                plan.b,
                gemm.a.address as _,
                plan.a,
                gemm.d.address as _,
                plan.d,
                gemm.d.address as _,
                plan.d,
                &plan.algorithm,
                self.workspace as _,
                WORKSPACE,
                self.stream.cast(),
            )
            .map_err(failed)
        }
    }

    /// Chooses the algorithm for a shape.
    fn plan(&self, gemm: &Gemm, shape: &Shape) -> Result<Plan> {
        let Gemm { m, n, k, a, b, d, .. } = *gemm;
        // 1. Layouts as stored, before any transposition.
        let stored = |operand: &Operand, rows, columns| match operand.transposed {
            false => layout(operand, rows, columns),
            true => layout(operand, columns, rows),
        };
        // 2. No TF32: a caller who asks for f32 wants its digits.
        let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let descriptor = create_matmul_desc(compute, sys::cudaDataType_t::CUDA_R_32F).map_err(failed)?;
        let (a_layout, b_layout, d_layout) = (stored(&a, m, k)?, stored(&b, k, n)?, layout(&d, m, n)?);
        // SAFETY: each attribute is passed a value of its type, and all handles were just made.
        unsafe {
            for (attribute, operand) in [
                (Attribute::CUBLASLT_MATMUL_DESC_TRANSA, b),
                (Attribute::CUBLASLT_MATMUL_DESC_TRANSB, a),
            ] {
                let operation = i32::from(operand.transposed); // 0 is CUBLAS_OP_N, 1 is CUBLAS_OP_T
                let operation = (&raw const operation).cast();
                set_matmul_desc_attribute(descriptor, attribute, operation, size_of::<i32>())
                    .map_err(failed)?;
            }
            // 3. The first algorithm of cuBLASLt's heuristic.
            let preference = preference(shape)?;
            let found = get_matmul_algo_heuristic(
                self.handle,
                descriptor,
                b_layout,
                a_layout,
                d_layout,
                d_layout,
                preference,
            );
            destroy_matmul_pref(preference).map_err(failed)?;
            Ok(Plan {
                descriptor,
                a: a_layout,
                b: b_layout,
                d: d_layout,
                algorithm: found.map_err(failed)?.algo,
            })
        }
    }

    /// Frees all plans and the scratch memory.
    ///
    /// # Safety
    /// The driver's context is current, and no product is running.
    pub unsafe fn close(&mut self) {
        // SAFETY: the caller keeps the contract; this value made everything here.
        unsafe {
            for (_, plan) in self.plans.drain() {
                destroy_matmul_desc(plan.descriptor).ok();
                for layout in [plan.a, plan.b, plan.d] {
                    destroy_matrix_layout(layout).ok();
                }
            }
            free_async(self.workspace, self.stream).ok();
            destroy_handle(self.handle).ok();
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
