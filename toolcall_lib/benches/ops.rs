//! The other ops, forward and backward.

use crate::step::tree;
use crate::{HIDDEN, INTERMEDIATE, ROWS, VOCABULARY, random};
use divan::Bencher;
use divan::counter::ItemsCount;
use toolcall_lib::ops::attention::{AttentionOutput, Qkv, attention, attention_backward, tiles};
use toolcall_lib::ops::buffer::Buffer;
use toolcall_lib::ops::cross_entropy::{RowTarget, cross_entropy};
use toolcall_lib::ops::matmul::Precision;
use toolcall_lib::ops::rms_norm::{rms_norm, rms_norm_backward};
use toolcall_lib::ops::rope::{HeadGradients, Heads, RopeTable, Split, split_heads, split_heads_backward};
use toolcall_lib::ops::swiglu::{swiglu, swiglu_backward};
use toolcall_lib::weights::Tensor;

const HEADS: Heads = Heads {
    queries: 9,
    keys: 3,
    dim: 64,
};
const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// Queries, keys and values of `rows` rows.
struct Projected {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Projected {
    fn new(rows: usize) -> Self {
        let (queries, keys) = (rows * HEADS.queries * HEADS.dim, rows * HEADS.keys * HEADS.dim);
        Self {
            q: random(queries),
            k: random(keys),
            v: random(keys),
        }
    }

    fn qkv(&self, rows: usize, precision: Precision) -> Qkv<'_> {
        Qkv {
            q: &self.q,
            k: &self.k,
            v: &self.v,
            query_rows: rows,
            key_rows: rows,
            heads: HEADS,
            precision,
        }
    }
}

#[divan::bench(args = PRECISIONS)]
fn attention_forward(bencher: Bencher<'_, '_>, precision: Precision) {
    let tree = tree();
    let (rows, tiles) = (tree.ids.len(), tiles(&tree.segments));
    let projected = Projected::new(rows);
    let qkv = projected.qkv(rows, precision);
    let (mut out, mut lse) = (vec![0.0; projected.q.len()], vec![0.0; rows * HEADS.queries]);
    bencher
        .counter(ItemsCount::new(rows))
        .bench_local(|| attention(qkv, &tiles, &mut out, &mut lse));
}

#[divan::bench(args = PRECISIONS)]
fn attention_gradient(bencher: Bencher<'_, '_>, precision: Precision) {
    let tree = tree();
    let (rows, tiles) = (tree.ids.len(), tiles(&tree.segments));
    let projected = Projected::new(rows);
    let qkv = projected.qkv(rows, precision);
    let len = projected.q.len();
    let (mut out, mut lse) = (vec![0.0; len], vec![0.0; rows * HEADS.queries]);
    attention(qkv, &tiles, &mut out, &mut lse);
    let output = AttentionOutput {
        out: &out,
        lse: &lse,
        dout: &random(len),
    };
    let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; len]);
    bencher
        .counter(ItemsCount::new(rows))
        .bench_local(|| attention_backward(qkv, &tiles, output, &mut dq, &mut dk, &mut dv));
}

#[divan::bench(args = PRECISIONS, sample_count = 10)]
fn cross_entropy_with_gradient(bencher: Bencher<'_, '_>, precision: Precision) {
    let rows = 300;
    let target = |row| RowTarget {
        row,
        id: (row * 97 % VOCABULARY) as u32,
        weight: 1.0,
    };
    let targets: Vec<RowTarget> = (0..rows).map(target).collect();
    let (hidden, projection) = (random(rows * HIDDEN), random(VOCABULARY * HIDDEN));
    let (mut dhidden, mut dprojection) = (vec![0.0; hidden.len()], vec![0.0; projection.len()]);
    let mut logits = Buffer::default();
    bencher.counter(ItemsCount::new(rows)).bench_local(|| {
        let gradients = Some((&mut dhidden[..], Some(&mut dprojection[..])));
        cross_entropy(
            &hidden,
            Tensor::new(&projection, HIDDEN),
            &targets,
            gradients,
            &mut logits,
            precision,
        )
    });
}

#[divan::bench]
fn rms_norm_forward(bencher: Bencher<'_, '_>) {
    let (x, w, mut y) = (random(ROWS * HIDDEN), random(HIDDEN), vec![0.0; ROWS * HIDDEN]);
    bencher
        .counter(ItemsCount::new(x.len()))
        .bench_local(|| rms_norm(&x, &w, 1e-5, &mut y));
}

#[divan::bench]
fn rms_norm_gradient(bencher: Bencher<'_, '_>) {
    let (x, w, dy) = (random(ROWS * HIDDEN), random(HIDDEN), random(ROWS * HIDDEN));
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; HIDDEN]);
    bencher
        .counter(ItemsCount::new(x.len()))
        .bench_local(|| rms_norm_backward(&x, &w, 1e-5, &dy, &mut dx, Some(&mut dw)));
}

#[divan::bench]
fn swiglu_forward(bencher: Bencher<'_, '_>) {
    let (gate_up, mut y) = (random(ROWS * 2 * INTERMEDIATE), vec![0.0; ROWS * INTERMEDIATE]);
    bencher
        .counter(ItemsCount::new(y.len()))
        .bench_local(|| swiglu(&gate_up, &mut y, INTERMEDIATE));
}

#[divan::bench]
fn swiglu_gradient(bencher: Bencher<'_, '_>) {
    let (gate_up, dy) = (random(ROWS * 2 * INTERMEDIATE), random(ROWS * INTERMEDIATE));
    let mut dgate_up = vec![0.0; gate_up.len()];
    bencher
        .counter(ItemsCount::new(dy.len()))
        .bench_local(|| swiglu_backward(&gate_up, &dy, &mut dgate_up, INTERMEDIATE));
}

/// Angles of the most positions that a tree of [`ROWS`] rows can have.
fn rope() -> RopeTable {
    let frequency = |pair: usize| 1e5f32.powf(-2.0 * pair as f32 / HEADS.dim as f32);
    RopeTable::new(&(0..HEADS.dim / 2).map(frequency).collect::<Vec<_>>(), ROWS)
}

#[divan::bench]
fn rope_forward(bencher: Bencher<'_, '_>) {
    let (rope, positions) = (rope(), (0..ROWS as u32).collect::<Vec<_>>());
    let split = Split {
        positions: &positions,
        rope: &rope,
        norm: None,
        heads: HEADS,
    };
    let qkv = random(ROWS * HEADS.width());
    let mut out = vec![0.0; qkv.len()];
    bencher
        .counter(ItemsCount::new(qkv.len()))
        .bench_local(|| split_heads(&qkv, split, &mut out));
}

#[divan::bench]
fn rope_gradient(bencher: Bencher<'_, '_>) {
    let (rope, positions) = (rope(), (0..ROWS as u32).collect::<Vec<_>>());
    let split = Split {
        positions: &positions,
        rope: &rope,
        norm: None,
        heads: HEADS,
    };
    let (qkv, part) = (
        random(ROWS * HEADS.width()),
        random(ROWS * HEADS.queries * HEADS.dim),
    );
    let dheads = HeadGradients {
        dq: &part,
        dk: &part,
        dv: &part,
    };
    let mut dqkv = vec![0.0; qkv.len()];
    bencher
        .counter(ItemsCount::new(qkv.len()))
        .bench_local(|| split_heads_backward(dheads, &qkv, split, &mut dqkv));
}
