//! Products of a linear layer: forward, gradient of the input, gradient of the weight.

use crate::{HIDDEN, INTERMEDIATE, ROWS, VOCABULARY, random};
use divan::Bencher;
use divan::counter::ItemsCount;
use std::fmt;
use toolcall_lib::ops::linear::{linear, linear_backward_input, linear_backward_weight};
use toolcall_lib::ops::matmul::{Output, Precision};

/// A weight `[output, input]` and the rows that it is applied to.
struct Layer {
    name: &'static str,
    rows: usize,
    output: usize,
    input: usize,
    precision: Precision,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.precision)
    }
}

impl Layer {
    fn flop(&self) -> ItemsCount {
        ItemsCount::new(2 * self.rows * self.output * self.input)
    }

    fn x(&self) -> Vec<f32> {
        random(self.rows * self.input)
    }

    fn y(&self) -> Vec<f32> {
        random(self.rows * self.output)
    }

    fn w(&self) -> Vec<f32> {
        random(self.output * self.input)
    }
}

fn layers() -> impl Iterator<Item = Layer> {
    let shapes = [
        ("qkv", ROWS, 960, HIDDEN),
        ("output", ROWS, HIDDEN, HIDDEN),
        ("gate_up", ROWS, 2 * INTERMEDIATE, HIDDEN),
        ("down", ROWS, HIDDEN, INTERMEDIATE),
        ("vocabulary", 300, VOCABULARY, HIDDEN),
    ];
    shapes.into_iter().flat_map(|(name, rows, output, input)| {
        [Precision::F32, Precision::Bf16].map(|precision| Layer {
            name,
            rows,
            output,
            input,
            precision,
        })
    })
}

#[divan::bench(args = layers(), sample_count = 20)]
fn forward(bencher: Bencher<'_, '_>, layer: &Layer) {
    let (x, w, mut y) = (layer.x(), layer.w(), layer.y());
    let Layer { rows, input, .. } = *layer;
    bencher
        .counter(layer.flop())
        .bench_local(|| linear(&x, &w, &mut y, rows, input, layer.precision));
}

#[divan::bench(args = layers(), sample_count = 20)]
fn backward_input(bencher: Bencher<'_, '_>, layer: &Layer) {
    let (dy, w, mut dx) = (layer.y(), layer.w(), layer.x());
    let Layer { rows, input, .. } = *layer;
    bencher
        .counter(layer.flop())
        .bench_local(|| linear_backward_input(&dy, &w, &mut dx, rows, input, layer.precision));
}

#[divan::bench(args = layers(), sample_count = 20)]
fn backward_weight(bencher: Bencher<'_, '_>, layer: &Layer) {
    let (dy, x, mut dw) = (layer.y(), layer.x(), layer.w());
    let Layer { rows, input, .. } = *layer;
    bencher
        .counter(layer.flop())
        .bench_local(|| linear_backward_weight(&dy, &x, &mut dw, Output::Add, rows, input, layer.precision));
}
