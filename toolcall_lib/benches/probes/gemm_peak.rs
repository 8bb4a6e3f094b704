//! Measures how fast this machine multiplies large matrices with our kernels on all cores. Prints
//! GFLOP/s as one line of JSON: `cargo run --release --example gemm_peak`.
//!
//! Takes the best of many products of 2048 × 2048 matrices, `x · wᵀ` as in a forward pass.

use std::time::{Duration, Instant};
use toolcall_lib::ops::linear::linear;
use toolcall_lib::ops::matmul::Precision;
use toolcall_lib::serde_json::json;

const SIZE: usize = 2048;
const TIME: Duration = Duration::from_secs(2);

fn main() {
    println!(
        "{}",
        json!({"f32": peak(Precision::F32), "bf16": peak(Precision::Bf16)})
    );
}

fn peak(precision: Precision) -> f64 {
    let matrix = || -> Vec<f32> { (0..SIZE * SIZE).map(|i| (i % 17) as f32 - 8.0).collect() };
    let (x, w, mut y) = (matrix(), matrix(), vec![0.0; SIZE * SIZE]);
    let started = Instant::now();
    let mut best = f64::INFINITY;
    while started.elapsed() < TIME {
        let product = Instant::now();
        linear(&x, &w, &mut y, SIZE, SIZE, precision);
        best = best.min(product.elapsed().as_secs_f64());
    }
    2.0 * (SIZE as f64).powi(3) / best / 1e9
}
