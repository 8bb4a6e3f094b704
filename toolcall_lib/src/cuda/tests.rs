//! Each simple kernel, emulated on the host, against the CPU's op.

use super::buffer::{DeviceBuffer, View};
use super::driver::{Element, Rounding};
use super::dropout::Dropout;
use super::emulate::emulated;
use super::ops::{Device, HeadNorms, Places, RowTargets, SQUARES_OF_A_BUCKET, SplitHeads};
use crate::model::Projection;
use crate::model::lora::{Mask, Pass};
use crate::ops::cross_entropy::{RowTarget, cross_entropy};
use crate::ops::element::round_stochastically;
use crate::ops::matmul::{Precision, add_bias, add_bias_backward};
use crate::ops::rms_norm::{add_rms_norm, rms_norm_backward};
use crate::ops::rope::{HeadGradients, Heads, QkNorm, RopeTable, Split, split_heads, split_heads_backward};
use crate::ops::swiglu::{swiglu, swiglu_backward};
use crate::ops::testing::random;
use crate::optimizer::Update;
use crate::optimizer::{AdamW, AdamWConfig, clip_coefficient};
use crate::weights::{Layout, Parameters, Tensor};
use half::bf16;
use std::sync::Arc;

/// A device, and how near to the CPU it has to come.
pub(super) struct Bench {
    pub device: Device,
    pub tolerance: f32,
}

pub(super) fn benches() -> [Bench; 2] {
    [(Element::F32, 1e-5), (Element::Bf16, 2e-2)].map(|(element, tolerance)| Bench {
        device: Device::new(emulated(), element, 1024).unwrap(),
        tolerance,
    })
}

impl Bench {
    fn f32(&self, x: &[f32]) -> DeviceBuffer {
        DeviceBuffer::from_host(&self.device.driver, Element::F32, x).unwrap()
    }

    fn u32(&self, x: &[u32]) -> DeviceBuffer {
        DeviceBuffer::from_host(&self.device.driver, Element::U32, x).unwrap()
    }

    /// As activations, and what they are after rounding.
    fn activations(&self, x: &[f32]) -> (DeviceBuffer, Vec<f32>) {
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

    fn room(&self, len: usize) -> DeviceBuffer {
        DeviceBuffer::new(&self.device.driver, self.device.element, len).unwrap()
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

    /// The device's numbers are those of the CPU, relative to the largest.
    pub fn assert_near(&self, got: View, want: &[f32], what: &str) {
        assert_near(&self.read(got), want, self.tolerance, what);
    }
}

pub(super) fn assert_near(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-6f32, |most, x| most.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs() / scale;
        assert!(
            error <= tolerance,
            "{what}: element {i}: {got}, not {want} (largest {scale})"
        );
    }
}

#[test]
fn norms_are_those_of_the_cpu() {
    for bench in benches() {
        let device = &bench.device;
        for (rows, width) in [(1, 4), (3, 64), (300, 36), (5, 1024)] {
            let (x, w) = (random(rows * width, 1), random(width, 2));
            let (added, added_host) = bench.activations(&random(rows * width, 3));
            let (dy, dy_host) = bench.activations(&random(rows * width, 4));
            let (dx_host, dw_host) = (random(rows * width, 5), random(width, 6));
            let [x_device, w_device, dx, dw] = [&x, &w, &dx_host, &dw_host].map(|x| bench.f32(x));
            let (sum, y, rounded) = (bench.f32(&x), bench.room(rows * width), bench.room(rows * width));
            let norm = Some((w_device.all(), 1e-5, y.all()));
            device
                .add_rms_norm(x_device.all(), added.all(), sum.all(), norm)
                .unwrap();
            let (mut want_sum, mut want) = (vec![0.0; rows * width], vec![0.0; rows * width]);
            add_rms_norm(&x, &added_host, None, &mut want_sum, &w, 1e-5, &mut want);
            bench.assert_near(sum.all(), &want_sum, "sum");
            bench.assert_near(y.all(), &want, "norm");
            device.rms_norm(sum.all(), w_device.all(), 1e-5, y.all()).unwrap();
            bench.assert_near(y.all(), &want, "norm alone");

            let (dy, dx, dw) = (dy.all(), dx.all(), dw.all());
            device
                .rms_norm_backward(sum.all(), w_device.all(), 1e-5, dy, dx, rounded.all(), dw)
                .unwrap();
            let (mut want_dx, mut want_dw) = (dx_host, dw_host);
            rms_norm_backward(&want_sum, &w, 1e-5, &dy_host, &mut want_dx, Some(&mut want_dw));
            bench.assert_near(dx, &want_dx, "dx");
            bench.assert_near(rounded.all(), &want_dx, "rounded dx");
            assert_near(&bench.read(dw), &want_dw, 2e-5, "dw");
        }
    }
}

/// `[rows, heads, dim]` to `[heads, rows, dim]`, or back with the numbers exchanged.
fn exchange(x: &[f32], rows: usize, heads: usize, dim: usize) -> Vec<f32> {
    let at = |head: usize, row: usize| &x[(row * heads + head) * dim..][..dim];
    (0..heads)
        .flat_map(|head| (0..rows).flat_map(move |row| at(head, row)))
        .copied()
        .collect()
}

#[test]
fn heads_are_normed_and_rotated_as_on_the_cpu() {
    for bench in benches() {
        for (rows, dim, with_norm, with_bias) in [
            (1, 4, true, false),
            (300, 16, true, true),
            (7, 64, false, true),
            (5, 128, true, false),
            (3, 256, false, false),
        ] {
            let heads = Heads {
                queries: 4,
                keys: 2,
                dim,
            };
            let positions: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 50).collect();
            let frequencies: Vec<f32> = (0..dim / 2).map(|i| 1.0 / (1.0 + i as f32)).collect();
            let rope = RopeTable::new(&frequencies, 50);
            let norms = random(2 * dim, 1);
            let bias = if with_bias {
                random(heads.width(), 2)
            } else {
                vec![0.0; heads.width()]
            };
            let (qkv, mut projected) = bench.activations(&random(rows * heads.width(), 3));
            let (dheads, dheads_host) = bench.activations(&random(rows * heads.width(), 4));
            add_bias(&mut projected, &bias);
            let split = Split {
                positions: &positions,
                rope: &rope,
                norm: with_norm.then(|| QkNorm {
                    q: &norms[..dim],
                    k: &norms[dim..],
                    eps: 1e-6,
                }),
                heads,
            };
            let mut want = vec![0.0; projected.len()];
            split_heads(&projected, split, &mut want);

            let (positions, table) = (bench.u32(&positions), bench.f32(rope.cos_sin().as_flattened()));
            let (weights, bias) = (bench.f32(&norms), bench.f32(&bias));
            let on_device = SplitHeads {
                bias: if with_bias { bias.all() } else { View::EMPTY },
                positions: positions.all(),
                table: table.all(),
                norms: with_norm.then(|| HeadNorms {
                    weights: weights.all(),
                    eps: 1e-6,
                }),
                heads,
            };
            let out = bench.room(projected.len());
            bench
                .device
                .split_heads(qkv.all(), &on_device, out.all())
                .unwrap();
            bench.assert_near(out.all(), &exchange(&want, heads.all(), rows, dim), "heads");

            let mut want = vec![0.0; projected.len()];
            let dheads_host = exchange(&dheads_host, rows, heads.all(), dim);
            let (dq, dkv) = dheads_host.split_at(heads.queries * rows * dim);
            let (dk, dv) = dkv.split_at(heads.keys * rows * dim);
            // the whole gradient of a key head is the part of its first query head
            let parts = |whole: &[f32]| -> Vec<f32> {
                let heads = whole.chunks_exact(rows * dim);
                heads
                    .flat_map(|head| [head, &vec![0.0; head.len()]].concat())
                    .collect()
            };
            let dheads_host = HeadGradients {
                dq,
                dk: &parts(dk),
                dv: &parts(dv),
            };
            let dnorms_want = split_heads_backward(dheads_host, &projected, split, &mut want).concat();
            let dnorms = bench.f32(&vec![0.0; 2 * dim]);
            let (dheads, dnorms) = (dheads.all(), dnorms.all());
            bench
                .device
                .split_heads_backward(dheads, qkv.all(), &on_device, dheads, dnorms)
                .unwrap();
            bench.assert_near(dheads, &want, "dqkv");
            assert_near(&bench.read(dnorms), &dnorms_want, 2e-5, "dnorms");
        }
    }
}

#[test]
fn swiglu_is_that_of_the_cpu() {
    for bench in benches() {
        for (rows, width) in [(1, 4), (3, 20), (9, 128)] {
            let (gate_up, host) = bench.activations(&random(rows * 2 * width, 1));
            let (dy, dy_host) = bench.activations(&random(rows * width, 2));
            let (y, dgate_up) = (bench.room(rows * width), bench.room(rows * 2 * width));
            bench.device.swiglu(gate_up.all(), y.all(), width).unwrap();
            bench
                .device
                .swiglu_backward(gate_up.all(), dy.all(), dgate_up.all(), width)
                .unwrap();
            let (mut want, mut want_d) = (vec![0.0; rows * width], vec![0.0; rows * 2 * width]);
            swiglu(&host, &mut want, width);
            swiglu_backward(&host, &dy_host, &mut want_d, width);
            bench.assert_near(y.all(), &want, "swiglu");
            bench.assert_near(dgate_up.all(), &want_d, "dgate_up");
        }
    }
}

#[test]
fn loss_and_its_gradient_are_those_of_the_cpu() {
    let targets = [(0, 3, 1.0), (1, 0, 2.0), (1, 5, 1.0), (3, 32, 1.0)];
    let target = |(row, id, weight): (usize, u32, f32)| RowTarget { row, id, weight };
    for bench in benches() {
        for vocabulary in [33usize, 2000] {
            // with the identity as hidden states, the logits are the projection, transposed
            let (rows, stride) = (4, vocabulary.next_multiple_of(8));
            let logits = random(rows * vocabulary, 1);
            let identity: Vec<f32> = (0..rows * rows)
                .map(|i| f32::from(u8::from(i % (rows + 1) == 0)))
                .collect();
            let projection = exchange(&logits, rows, vocabulary, 1);
            let (mut dhidden, mut dprojection) = (vec![0.0; rows * rows], vec![0.0; rows * vocabulary]);
            let gradients = Some((&mut dhidden[..], Some(&mut dprojection[..])));
            let want = cross_entropy(
                &identity,
                Tensor::new(&projection, rows),
                &targets.map(target),
                gradients,
                &mut Default::default(),
                Precision::F32,
            );
            let mut padded = vec![f32::NAN; rows * stride];
            for (padded, row) in padded
                .chunks_exact_mut(stride)
                .zip(logits.chunks_exact(vocabulary))
            {
                padded[..vocabulary].copy_from_slice(row);
            }
            let (logits, dlogits) = (bench.f32(&padded), bench.room(rows * stride));
            let begins = bench.u32(&[0, 1, 3, 3, 4]);
            let (ids, weights) = (bench.u32(&targets.map(|t| t.1)), bench.f32(&targets.map(|t| t.2)));
            let targets = RowTargets {
                begins: begins.all(),
                ids: ids.all(),
                weights: weights.all(),
            };
            let sums = bench.f32(&vec![0.0; 2 * rows]);
            let total = bench.f32(&[0.0; 4]);
            let sizes = [stride, vocabulary];
            let device = &bench.device;
            device
                .cross_entropy(
                    logits.all(),
                    dlogits.all(),
                    sizes,
                    targets,
                    sums.all(),
                    total.all(),
                )
                .unwrap();
            let mut got = [0.0f64; 2];
            total.all().download(&*device.driver, &mut got).unwrap();
            assert!((got[0] - want.loss).abs() < 1e-5 * want.loss, "{got:?} {want:?}");
            assert_eq!(got[1], want.correct);
            let got: Vec<f32> = bench
                .read(dlogits.all())
                .chunks(stride)
                .flat_map(|row| row[..vocabulary].to_vec())
                .collect();
            let want = exchange(&dprojection, vocabulary, rows, 1);
            assert_near(&got, &want, bench.tolerance, "dlogits");
        }
    }
}

#[test]
fn rows_are_gathered_and_added_by_number() {
    let [bench, _] = benches();
    let ids = [2, 0, 2, 3, 0, 2];
    let (table, dy) = (random(4 * 12, 1), random(6 * 12, 2));
    let (on_table, on_ids, y) = (bench.f32(&table), bench.u32(&ids), bench.f32(&[0.0; 72]));
    bench
        .device
        .gather_rows(on_table.all(), on_ids.all(), y.all(), 12)
        .unwrap();
    let mut want = vec![0.0; 72];
    crate::ops::embedding::embedding(&ids, Tensor::new(&table, 12), &mut want);
    assert_eq!(bench.read(y.all()), want);

    let places = Places::new(&ids);
    assert_eq!(
        (&places.ids[..], &places.begins[..]),
        (&[0, 2, 3][..], &[0, 2, 5, 6][..])
    );
    let [order, begins, ids_device] = [&places.order, &places.begins, &places.ids].map(|x| bench.u32(x));
    let places = Places {
        order: order.all(),
        begins: begins.all(),
        ids: ids_device.all(),
    };
    let mut want = table.clone();
    bench
        .device
        .add_rows(bench.f32(&dy).all(), &places, on_table.all(), 12)
        .unwrap();
    crate::ops::embedding::embedding_backward(&ids, &dy, &mut want, 12);
    bench.assert_near(on_table.all(), &want, "dtable");
}

#[test]
fn columns_of_activations_are_summed() {
    for bench in benches() {
        for (rows, width) in [(1, 4), (300, 40), (3000, 4)] {
            let (x, host) = bench.activations(&random(rows * width, 1));
            let sums = bench.f32(&vec![1.0; width]);
            bench.device.add_activation_columns(x.all(), sums.all()).unwrap();
            let mut want = vec![1.0; width];
            add_bias_backward(&host, &mut want);
            assert_near(&bench.read(sums.all()), &want, 1e-5, "sums");
        }
    }
}

#[test]
fn adamw_clips_and_steps_as_on_the_cpu() {
    let mut layout = Layout::default();
    layout.push(0, "matrix", &[50, 60]);
    let weights = Parameters {
        layout: Arc::new(layout),
        buckets: vec![random(3000, 1)],
    };
    let config = AdamWConfig {
        weight_decay: 0.1,
        ..AdamWConfig::default()
    };
    let [bench, _] = benches();
    let device = &bench.device;
    let (mut cpu, mut want) = (AdamW::new(config, &weights), weights.clone());
    let w = bench.f32(&weights.buckets[0]);
    let [m, v] = [(); 2].map(|()| bench.f32(&[0.0; 3000]));
    let rounded = DeviceBuffer::new(&device.driver, Element::Bf16, 3000).unwrap();
    let scale = bench.f32(&[0.0; 2]);
    let squares_of_all = bench.f32(&[0.0; SQUARES_OF_A_BUCKET]);
    let clip = |gradients: &DeviceBuffer, tokens: f32| {
        let squares = squares_of_all.all();
        device.sum_squares(&[gradients.all()], squares).unwrap();
        device.clip(squares, tokens, 1.0, scale.all()).unwrap();
    };
    for (step, tokens) in [(1, 3.0f32), (2, 40.0), (3, 1000.0)] {
        let gradient = random(3000, 10 + step);
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
        assert_eq!(bench.read(g.all()), [0.0; 3000]);
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
    let g = bench.f32(&[f32::INFINITY; 3000]);
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

#[test]
fn rows_are_stored_by_number() {
    for bench in benches() {
        let (x, host) = bench.activations(&random(3 * 10, 1));
        let (y, mut want) = bench.activations(&random(5 * 16, 2));
        let rows = [4, 0, 3];
        let on_device = bench.u32(&rows);
        bench
            .device
            .store_rows(x.all(), on_device.all(), y.all(), [10, 16], 8)
            .unwrap();
        for (i, &row) in rows.iter().enumerate() {
            want[row as usize * 16..][..8].copy_from_slice(&host[i * 10..][..8]);
        }
        assert_eq!(bench.read(y.all()), want);
    }
}

#[test]
fn the_elements_are_dropped_that_the_cpu_drops() {
    for bench in benches() {
        for (rows, width) in [(1, 8), (100, 40), (3, 4096)] {
            let mask = Mask {
                pass: Pass {
                    seed: 11,
                    step: 70_000,
                    tree: 3,
                },
                layer: 2,
                projection: Projection::GateUp,
                p: 0.3,
            };
            let (x, x_host) = bench.activations(&random(rows * width, 1));
            let (y, y_host) = bench.activations(&random(rows * width, 2));
            let dropout = Dropout::of(&mask);
            let mut want = x_host;
            mask.apply(&mut want, width);
            let out = bench.room(want.len());
            bench.device.dropout(x.all(), out.all(), &dropout, false).unwrap();
            let zeros = |x: &[f32]| x.iter().map(|&x| x == 0.0).collect::<Vec<_>>();
            assert_eq!(zeros(&bench.read(out.all())), zeros(&want));
            bench.assert_near(out.all(), &want, "what is kept");
            bench.device.dropout(x.all(), y.all(), &dropout, true).unwrap();
            let want: Vec<f32> = want.iter().zip(&y_host).map(|(x, y)| x + y).collect();
            bench.assert_near(y.all(), &want, "what is added");
        }
    }
}
