//! Helpers for the tests of the kernels, and AdamW compared with the CPU's.

use super::buffer::{DeviceBuffer, View};
use super::driver::{Element, Rounding};
use super::ops::{Device, SQUARES_OF_A_BUCKET};
use super::testing::{assert_near, driver, shapes};
use crate::ops::testing::{random, round_stochastically};
use crate::optimizer::Update;
use crate::optimizer::{AdamW, AdamWConfig, clip_coefficient};
use crate::weights::{Layout, Parameters};
use half::bf16;
use std::sync::Arc;

/// A device, and its tolerance against the CPU.
pub(super) struct Bench {
    pub device: Device,
    pub tolerance: f32,
}

pub(super) fn benches() -> [Bench; 2] {
    benches_within(1e-5, 2e-2)
}

/// Makes a bench in f32 and one in bf16, with a tolerance for each.
pub(super) fn benches_within(f32: f32, bf16: f32) -> [Bench; 2] {
    [(Element::F32, f32), (Element::Bf16, bf16)].map(|(element, tolerance)| Bench {
        device: Device::new(driver(), element, 4096).unwrap(),
        tolerance,
    })
}

impl Bench {
    pub fn f32(&self, x: &[f32]) -> DeviceBuffer {
        DeviceBuffer::from_host(&self.device.driver, Element::F32, x).unwrap()
    }

    pub fn u32(&self, x: &[u32]) -> DeviceBuffer {
        DeviceBuffer::from_host(&self.device.driver, Element::U32, x).unwrap()
    }

    /// Copies `x` to the device as activations. Returns them, and their values after rounding.
    pub fn activations(&self, x: &[f32]) -> (DeviceBuffer, Vec<f32>) {
        match self.device.element {
            Element::Bf16 => {
                let rounded: Vec<bf16> = x.iter().map(|&x| bf16::from_f32(x)).collect();
                let bits: Vec<u16> = rounded.iter().map(|x| x.to_bits()).collect();
                let buffer = DeviceBuffer::from_host(&self.device.driver, Element::Bf16, &bits);
                (buffer.unwrap(), rounded.iter().map(|x| x.to_f32()).collect())
            }
            _ => (self.f32(x), x.to_vec()),
        }
    }

    /// Allocates memory for activations.
    pub fn room(&self, len: usize) -> DeviceBuffer {
        DeviceBuffer::new(&self.device.driver, self.device.element, len).unwrap()
    }

    /// Allocates memory for f32, with any type of activations.
    pub fn f32_room(&self, len: usize) -> DeviceBuffer {
        DeviceBuffer::new(&self.device.driver, Element::F32, len).unwrap()
    }

    pub fn read(&self, x: View) -> Vec<f32> {
        let driver = &*self.device.driver;
        if x.element == Element::Bf16 {
            let mut bits = vec![0u16; x.len];
            x.download(driver, &mut bits).unwrap();
            return bits
                .into_iter()
                .map(|bits| bf16::from_bits(bits).to_f32())
                .collect();
        }
        let mut values = vec![0.0; x.len];
        x.download(driver, &mut values).unwrap();
        values
    }

    /// Checks the device's numbers against the CPU's, relative to the largest.
    pub fn assert_near(&self, got: View, want: &[f32], what: &str) {
        assert_near(&self.read(got), want, self.tolerance, what);
    }
}

/// Turns `[rows, heads, dim]` into `[heads, rows, dim]`, or back with `rows` and `heads` exchanged.
pub(super) fn exchange(x: &[f32], rows: usize, heads: usize, dim: usize) -> Vec<f32> {
    let at = |head: usize, row: usize| &x[(row * heads + head) * dim..][..dim];
    (0..heads)
        .flat_map(|head| (0..rows).flat_map(move |row| at(head, row)))
        .copied()
        .collect()
}

#[test]
fn adamw_clips_and_steps_as_on_the_cpu() {
    for [rows, columns] in shapes([[50, 60], [3, 1]], [[4096, 3841]]) {
        check_adamw(rows, columns);
    }
}

fn check_adamw(rows: usize, columns: usize) {
    let (mut layout, len) = (Layout::default(), rows * columns);
    layout.push(0, "matrix", &[rows, columns]);
    let weights = Parameters {
        layout: Arc::new(layout),
        buckets: vec![random(len, 1)],
    };
    let config = AdamWConfig {
        weight_decay: 0.1,
        ..AdamWConfig::default()
    };
    let [bench, _] = benches();
    let device = &bench.device;
    let (mut cpu, mut want) = (AdamW::new(config, &weights), weights.clone());
    let w = bench.f32(&weights.buckets[0]);
    let [m, v] = [(); 2].map(|()| bench.f32(&vec![0.0; len]));
    let rounded = DeviceBuffer::new(&device.driver, Element::Bf16, len).unwrap();
    let scale = bench.f32(&[0.0; 2]);
    let squares_of_all = bench.f32(&[0.0; SQUARES_OF_A_BUCKET]);
    let clip = |gradients: &DeviceBuffer, tokens: f32| {
        let squares = squares_of_all.all();
        device.sum_squares(&[gradients.all()], squares).unwrap();
        device.clip(squares, tokens, 1.0, scale.all()).unwrap();
    };
    for (step, tokens) in [(1, 3.0f32), (2, 40.0), (3, 1000.0)] {
        let gradient = random(len, 10 + step);
        let g = bench.f32(&gradient);
        clip(&g, tokens);
        let squares: f64 = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
        let norm = squares.sqrt() / f64::from(tokens);
        let factor = clip_coefficient(norm, 1.0) / f64::from(tokens);
        bench.assert_near(scale.all(), &[factor as f32, norm as f32], "clip");
        let update = Update::of(&config, step, 1e-2, true);
        let all = [&w, &g, &m, &v].map(DeviceBuffer::all);
        let rounding = [Rounding::Nearest, Rounding::Stochastic][step as usize % 2];
        let copy = (rounded.all(), rounding);
        device.adamw(all, copy, &update, scale.all()).unwrap();
        cpu.step(&mut want, &mut [gradient], factor, 1e-2);
        bench.assert_near(w.all(), &want.buckets[0], "weights");
        assert_eq!(bench.read(g.all()), vec![0.0; len]);
        let to_bf16 = match rounding {
            Rounding::Nearest => bf16::from_f32,
            Rounding::Stochastic => round_stochastically,
        };
        let copied: Vec<f32> = bench.read(w.all()).iter().map(|&w| to_bf16(w).to_f32()).collect();
        assert_eq!(bench.read(rounded.all()), copied);
        device.round(w.all(), rounded.all(), rounding).unwrap();
        assert_eq!(bench.read(rounded.all()), copied);
    }

    let before = bench.read(w.all());
    let g = bench.f32(&vec![f32::INFINITY; len]);
    clip(&g, 1.0);
    let update = Update::of(&config, 4, 1e-2, true);
    device
        .adamw(
            [&w, &g, &m, &v].map(DeviceBuffer::all),
            (rounded.all(), Rounding::Nearest),
            &update,
            scale.all(),
        )
        .unwrap();
    assert_eq!(
        bench.read(w.all()),
        before,
        "no step is made with a gradient that is not finite"
    );
}
