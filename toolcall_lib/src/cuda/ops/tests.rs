//! Matrix products with the shapes of steps and replies, compared with the CPU's.

use super::Device;
use crate::cuda::buffer::View;
use crate::cuda::driver::{Element, Operand};
use crate::cuda::testing::shapes;
use crate::cuda::tests::{Bench, benches};
use crate::ops::matmul::{Matrix, Output, Precision, matmul_into};
use crate::ops::testing::random;

/// Rows of activations, inputs and outputs of a projection.
const SMALL: [[usize; 3]; 4] = [[1, 8, 24], [5, 16, 40], [67, 72, 101], [130, 48, 8]];
/// Projections of Qwen3-0.6B and SmolLM2-135M in a training step, the vocabulary's for some rows,
/// and those for a few replies.
const REAL: [[usize; 3]; 12] = [
    [1137, 1024, 4096],
    [1400, 2048, 1024],
    [1400, 1024, 6144],
    [1137, 3072, 1024],
    [1300, 576, 960],
    [1300, 1536, 576],
    [301, 576, 49_152],
    [128, 1024, 151_936],
    [1, 1024, 6144],
    [8, 3072, 1024],
    [32, 2048, 1024],
    [128, 1024, 4096],
];

/// The factors of a product.
struct Case<'a> {
    a: (Operand, Matrix<'a, f32>),
    b: (Operand, Matrix<'a, f32>),
    sizes: [usize; 3],
    alpha: f32,
    adds: bool,
}

impl Case<'_> {
    /// Checks the product in columns from `first` on of `d`, whose rows are `stride` apart and
    /// which holds `before`; the other columns must stay.
    fn check(&self, bench: &Bench, d: View, before: &[f32], [first, stride]: [usize; 2], what: &str) {
        let (to, mut want) = (d.slice(first..d.len).matrix(stride), before.to_vec());
        let (a, b) = (self.a.0, self.b.0);
        let product = bench
            .device
            .scaled_gemm(self.alpha, a, b, to, self.sizes, self.adds);
        product.unwrap();
        let mode = if self.adds { Output::Add } else { Output::Set };
        let (a, b, place) = (self.a.1, self.b.1, &mut want[first..]);
        matmul_into(place, stride, mode, self.alpha, a, b, Precision::F32, true);
        let what = format!("{what} {:?}", self.sizes);
        bench.assert_near(d, &want, &what);
    }
}

#[test]
fn the_products_of_a_projection_are_those_of_the_cpu() {
    for bench in benches() {
        for [rows, inputs, outputs] in shapes(SMALL, REAL) {
            let (x, x_host) = bench.activations(&random(rows * inputs, 1));
            let (w, w_host) = bench.activations(&random(outputs * inputs, 2));
            let (dy, dy_host) = bench.activations(&random(rows * outputs, 3));
            let [x, w, dy] = [(x.all(), inputs), (w.all(), inputs), (dy.all(), outputs)]
                .map(|(view, stride)| view.matrix(stride));
            let x_host = Matrix::new(&x_host, rows, inputs);
            let w_host = Matrix::new(&w_host, outputs, inputs);
            let dy_host = Matrix::new(&dy_host, rows, outputs);
            let zeros = |len: usize| vec![0.0f32; len];
            let forward = Case {
                a: (x, x_host),
                b: (w.t(), w_host.t()),
                sizes: [rows, outputs, inputs],
                alpha: 1.0,
                adds: false,
            };
            let y = bench.room(rows * outputs);
            forward.check(
                &bench,
                y.all(),
                &zeros(rows * outputs),
                [0, outputs],
                "y = x · Wᵀ",
            );

            let stride = outputs.next_multiple_of(8); // as logits
            let before = zeros(rows * stride);
            let y = bench.f32(&before);
            forward.check(&bench, y.all(), &before, [0, stride], "y = x · Wᵀ in f32");

            let dx = bench.room(rows * inputs);
            let input = Case {
                a: (dy, dy_host),
                b: (w, w_host),
                sizes: [rows, inputs, outputs],
                ..forward
            };
            input.check(
                &bench,
                dx.all(),
                &zeros(rows * inputs),
                [0, inputs],
                "dx = dy · W",
            );

            let before = random(outputs * inputs, 4);
            let dw = bench.f32(&before);
            let weight = Case {
                a: (dy.t(), dy_host.t()),
                b: (x, x_host),
                sizes: [outputs, inputs, rows],
                adds: true,
                ..forward
            };
            weight.check(&bench, dw.all(), &before, [0, inputs], "dW += dyᵀ · x");
        }
    }
}

/// Checks products of adapters: thin matrices at any offset.
#[test]
fn thin_products_are_those_of_the_cpu() {
    for bench in benches() {
        let small = [(7, 3, 40), (66, 4, 24), (5, 1, 8)];
        for (rows, r, outputs) in shapes(small, [(1137, 3, 2048), (1137, 16, 1024)]) {
            let (width, stride) = (2 * r, outputs + 24);
            let (low, low_host) = bench.activations(&random(rows * width, 1));
            // the second matrix of a bucket
            let (b, b_host) = bench.activations(&random(outputs * r + 1, 2));
            let low = low.all().slice(r..rows * width).matrix(width);
            let b = b.all().slice(1..outputs * r + 1).matrix(r);
            let low_host = Matrix::strided(&low_host[r..], rows, r, width);
            let b_host = Matrix::new(&b_host[1..], outputs, r);
            let forward = Case {
                a: (low, low_host),
                b: (b.t(), b_host.t()),
                sizes: [rows, outputs, r],
                alpha: 0.7,
                adds: true,
            };
            let (y, before) = bench.activations(&random(rows * stride, 3));
            forward.check(&bench, y.all(), &before, [16, stride], "y += s · low · Bᵀ");

            let (dy, dy_host) = bench.activations(&random(rows * stride, 4));
            let dy = dy.all().slice(16..rows * stride).matrix(stride);
            let dy_host = Matrix::strided(&dy_host[16..], rows, outputs, stride);
            let (dlow, before) = bench.activations(&random(rows * width, 5));
            let of_low = Case {
                a: (dy, dy_host),
                b: (b, b_host),
                sizes: [rows, r, outputs],
                adds: false,
                ..forward
            };
            of_low.check(&bench, dlow.all(), &before, [r, width], "dlow = s · dy · B");

            let before = random(outputs * r + 1, 6);
            let db = bench.f32(&before);
            let of_b = Case {
                a: (dy.t(), dy_host.t()),
                b: (low, low_host),
                sizes: [outputs, r, rows],
                ..forward
            };
            of_b.check(&bench, db.all(), &before, [1, r], "dB += s · dyᵀ · low");
        }
    }
}

#[test]
fn a_product_without_rows_adds_nothing() {
    let [bench, _] = benches();
    let device: &Device = &bench.device;
    let (none, d) = (View::EMPTY.matrix(8), bench.f32(&[1.0; 64]));
    assert_eq!(device.element, Element::F32);
    device
        .gemm(none.t(), none, d.all().matrix(8), [8, 8, 0], true)
        .unwrap();
    device
        .gemm(none, d.all().matrix(8), none, [0, 8, 8], false)
        .unwrap();
    assert_eq!(bench.read(d.all()), [1.0; 64]);
}
