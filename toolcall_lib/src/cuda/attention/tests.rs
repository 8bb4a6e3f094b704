//! The kernels, emulated on the host, against the CPU's attention.

use super::*;
use crate::batch::Segment;
use crate::cuda::buffer::{DeviceBuffer, Scratch};
use crate::cuda::emulate::emulated;
use crate::cuda::numbers::Numbers;
use crate::cuda::ops::Device;
use crate::ops::attention as cpu;
use crate::ops::matmul::Precision;
use crate::ops::testing::random;
use half::bf16;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

const SMOL: Heads = Heads {
    queries: 9,
    keys: 3,
    dim: 64,
};
const QWEN: Heads = Heads {
    queries: 16,
    keys: 8,
    dim: 128,
};

/// A random tree in depth-first order.
fn tree(rows: usize, seed: u64) -> Vec<Segment> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let (mut segments, mut path, mut start) = (Vec::<Segment>::new(), Vec::<usize>::new(), 0);
    while start < rows {
        path.truncate(rng.random_range(0..=path.len()));
        let len = rng.random_range(1..40usize).min(rows - start);
        let parent = path.last().copied();
        let position = parent.map_or(0, |parent| segments[parent].position + segments[parent].len);
        path.push(segments.len());
        segments.push(Segment {
            start,
            len,
            parent,
            position,
        });
        start += len;
    }
    segments
}

/// A device, what it computes in, and how near to the CPU it has to come.
struct Bench {
    driver: Arc<dyn Driver>,
    element: Element,
    tolerance: f32,
}

fn benches() -> [Bench; 2] {
    [(Element::F32, 1e-4), (Element::Bf16, 2e-2)].map(|(element, tolerance)| Bench {
        driver: emulated(),
        element,
        tolerance,
    })
}

impl Bench {
    /// Random numbers on the device, and what they are there.
    fn random(&self, len: usize, seed: u64) -> (DeviceBuffer, Vec<f32>) {
        let x = random(len, seed);
        if self.element == Element::F32 {
            return (
                DeviceBuffer::from_host(&self.driver, Element::F32, &x).unwrap(),
                x,
            );
        }
        let rounded: Vec<bf16> = x.into_iter().map(bf16::from_f32).collect();
        let bits: Vec<u16> = rounded.iter().map(|x| x.to_bits()).collect();
        let on_device = DeviceBuffer::from_host(&self.driver, Element::Bf16, &bits).unwrap();
        (on_device, rounded.into_iter().map(bf16::to_f32).collect())
    }

    fn room(&self, element: Element, len: usize) -> DeviceBuffer {
        DeviceBuffer::new(&self.driver, element, len).unwrap()
    }

    /// The difference of what is on the device from `want` is small beside the largest of it.
    fn compare(&self, what: &str, got: &DeviceBuffer, want: &[f32]) {
        let mut values = vec![0.0f32; want.len()];
        if got.all().element == Element::Bf16 {
            let mut bits = vec![0u16; want.len()];
            got.all().download(&*self.driver, &mut bits).unwrap();
            values = bits.into_iter().map(|x| bf16::from_bits(x).to_f32()).collect();
        } else {
            got.all().download(&*self.driver, &mut values).unwrap();
        }
        let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        for (i, (got, want)) in values.iter().zip(want).enumerate() {
            let near = (got - want).abs() <= self.tolerance * largest; // false for what is no number
            assert!(
                near,
                "{:?} {what} {i}: {got} not {want} (largest {largest})",
                self.element
            );
        }
    }
}

/// Heads `heads` of joint rows, as `[heads, rows, dim]`.
fn of_heads(joint: &[f32], all: Heads, heads: std::ops::Range<usize>) -> Vec<f32> {
    let row = all.all() * all.dim;
    let of_head = |head: usize| {
        let rows = joint.chunks_exact(row);
        rows.flat_map(move |row| row[head * all.dim..][..all.dim].to_vec())
    };
    heads.flat_map(of_head).collect()
}

/// The other way round: `[heads, rows, dim]` into joint rows.
fn to_joint(parts: &[Vec<f32>], all: Heads, rows: usize) -> Vec<f32> {
    let heads: Vec<&[f32]> = parts
        .iter()
        .flat_map(|part| part.chunks_exact(rows * all.dim))
        .collect();
    let row = |row: usize| {
        heads
            .iter()
            .flat_map(move |head| head[row * all.dim..][..all.dim].to_vec())
    };
    (0..rows).flat_map(row).collect()
}

/// The gradients of key heads, from the parts of the query heads that share them.
fn sum_groups(parts: &[f32], rows: usize, heads: Heads) -> Vec<f32> {
    let (head, group) = (rows * heads.dim, heads.queries / heads.keys);
    let of_key_head = |parts: &[f32]| -> Vec<f32> {
        let sum = |i: usize| (0..group).map(|query| parts[query * head + i]).sum();
        (0..head).map(sum).collect()
    };
    parts.chunks_exact(group * head).flat_map(of_key_head).collect()
}

/// Forward and backward over a tree.
fn check(bench: &Bench, heads: Heads, segments: &[Segment]) {
    let rows = segments.last().map_or(0, |last| last.start + last.len);
    let width = heads.queries * heads.dim;
    let (on_device, joint) = bench.random(rows * heads.all() * heads.dim, 1);
    let (on_device_dout, dout) = bench.random(rows * width, 2);
    let q = of_heads(&joint, heads, 0..heads.queries);
    let k = of_heads(&joint, heads, heads.queries..heads.queries + heads.keys);
    let v = of_heads(&joint, heads, heads.queries + heads.keys..heads.all());
    let qkv = cpu::Qkv {
        q: &q,
        k: &k,
        v: &v,
        query_rows: rows,
        key_rows: rows,
        heads,
        precision: Precision::F32,
    };
    let (mut out, mut lse) = (vec![0.0; rows * width], vec![0.0; rows * heads.queries]);
    let cpu_tiles = cpu::tiles(segments);
    cpu::attention(qkv, &cpu_tiles, &mut out, &mut lse);
    let [mut dq, mut dk, mut dv] = [0; 3].map(|_| vec![0.0; rows * width]);
    let output = cpu::AttentionOutput {
        out: &out,
        lse: &lse,
        dout: &dout,
    };
    cpu::attention_backward(qkv, &cpu_tiles, output, &mut dq, &mut dk, &mut dv);
    let [dk, dv] = [dk, dv].map(|shares| sum_groups(&shares, rows, heads));

    let mut numbers = Numbers::default();
    let tiles = Tiles::of_tree(&mut numbers, segments);
    let mut room = Scratch::new(Element::U32);
    let tiles = tiles.on_device(numbers.upload(&bench.driver, &mut room).unwrap());
    let got_out = bench.room(bench.element, out.len());
    let [got_lse, delta] = [0; 2].map(|_| bench.room(Element::F32, lse.len()));
    let gradients = bench.room(bench.element, joint.len());
    let qkv = Qkv::joint(on_device.all(), heads);
    attention(&bench.driver, &qkv, &tiles, got_out.all(), got_lse.all()).unwrap();
    bench.compare("out", &got_out, &out);
    bench.compare("lse", &got_lse, &lse);
    let output = AttentionOutput {
        out: got_out.all(),
        lse: got_lse.all(),
        dout: on_device_dout.all(),
        delta: delta.all(),
    };
    attention_backward(
        &bench.driver,
        on_device.all(),
        heads,
        &tiles,
        output,
        gradients.all(),
    )
    .unwrap();
    bench.compare("gradients", &gradients, &to_joint(&[dq, dk, dv], heads, rows));
}

#[test]
fn heads_of_64_are_those_of_the_cpu() {
    for bench in benches() {
        for (rows, seed) in [(1, 1), (63, 2), (150, 3)] {
            check(&bench, SMOL, &tree(rows, seed));
        }
    }
}

#[test]
fn heads_of_128_are_those_of_the_cpu() {
    for bench in benches() {
        check(&bench, QWEN, &tree(140, 4));
    }
}

#[test]
fn one_long_sequence_is_that_of_the_cpu() {
    let heads = Heads {
        queries: 2,
        keys: 1,
        dim: 128,
    };
    let segment = Segment {
        start: 0,
        len: 64 * 4 + 1,
        parent: None,
        position: 0,
    };
    for bench in benches() {
        check(&bench, heads, std::slice::from_ref(&segment));
    }
}

#[test]
fn other_heads_are_refused() {
    let bench = &benches()[0];
    let heads = Heads {
        queries: 2,
        keys: 1,
        dim: 80,
    };
    let joint = bench.room(Element::F32, heads.all() * 80);
    let qkv = Qkv::joint(joint.all(), heads);
    let tiles = Tiles::of_tree(&mut Numbers::default(), &tree(5, 1)).on_device(joint.all());
    let error = attention(&bench.driver, &qkv, &tiles, joint.all(), joint.all()).unwrap_err();
    let want = "config.json: head_dim: 80, but attention on a GPU takes heads of 64 or 128; train on the CPU";
    assert_eq!(error.to_string(), want);
}

/// Rows that follow others in a cache, in whatever rows of it they are, have what they have in one sequence.
#[test]
fn rows_after_a_cache_are_those_of_the_whole() {
    for (bench, heads) in benches().iter().flat_map(|bench| [(bench, SMOL), (bench, QWEN)]) {
        let (rows, new, width) = (600, 70, heads.queries * heads.dim);
        let (on_device, joint) = bench.random(rows * heads.all() * heads.dim, 1);
        let part = |heads_of: std::ops::Range<usize>| of_heads(&joint, heads, heads_of);
        let q = part(0..heads.queries);
        let k = part(heads.queries..heads.queries + heads.keys);
        let v = part(heads.queries + heads.keys..heads.all());
        let cpu_qkv = cpu::Qkv {
            q: &q,
            k: &k,
            v: &v,
            query_rows: rows,
            key_rows: rows,
            heads,
            precision: Precision::F32,
        };
        let (mut out, mut lse) = (vec![0.0; rows * width], vec![0.0; rows * heads.queries]);
        cpu::attention(cpu_qkv, &cpu::tiles_after(0, rows), &mut out, &mut lse);

        // a cache in which the rows of the sequence lie scattered; its row 594 is free
        let cache_row = |row: usize| row * 7 % 601;
        let kept = 2 * heads.keys * heads.dim;
        let cache = DeviceBuffer::zeros(&bench.driver, bench.element, 601 * kept).unwrap();
        let keys = |last: usize| (0..=last).map(cache_row).collect::<Vec<_>>();
        let mut numbers = Numbers::default();
        let places = numbers.push((0..rows).map(|row| cache_row(row) as u32));
        let parts = [(keys(rows - new - 1), 30), (keys(rows - 1), new)];
        let tiles = Tiles::of_cache(&mut numbers, &parts);
        let one_by_one = keys(rows - 2).into_iter().map(|row| row..row + 1).collect();
        let seen = [one_by_one, vec![0..3, 3..290, 290..594, 595..601]];
        let seen = VisibleRanges::new(&mut numbers, &seen);
        let mut room = Scratch::new(Element::U32);
        let numbers = numbers.upload(&bench.driver, &mut room).unwrap();

        let whole = Qkv::joint(on_device.all(), heads);
        let device = Device::new(bench.driver.clone(), bench.element, 8).unwrap();
        let strides = [whole.kv_stride, kept];
        device
            .store_rows(whole.k, numbers.slice(places), cache.all(), strides, kept)
            .unwrap();
        let after = |first: usize| {
            let projected = on_device.all().slice(first * whole.q_stride..on_device.len());
            Qkv::cached(projected, cache.all(), heads)
        };
        let (first, tiles) = (rows - new - 30, tiles.on_device(numbers));
        let got = bench.room(bench.element, (new + 30) * width);
        let got_lse = bench.room(Element::F32, (new + 30) * heads.queries);
        attention(&bench.driver, &after(first), &tiles, got.all(), got_lse.all()).unwrap();
        bench.compare("rows after a cache", &got, &out[first * width..]);

        let got = bench.room(bench.element, 2 * width);
        let (mut scratch, seen) = (DecodeScratch::new(), seen.on_device(numbers));
        scratch
            .attention(&bench.driver, &after(rows - 2), &seen, got.all())
            .unwrap();
        bench.compare("single rows", &got, &out[(rows - 2) * width..]);
    }
}
