//! The attention kernels, compared with the CPU's attention.

use super::*;
use crate::batch::Segment;
use crate::cuda::buffer::{DeviceBuffer, Scratch};
use crate::cuda::numbers::Numbers;
use crate::cuda::testing::shapes;
use crate::cuda::tests::{Bench, benches_within};
use crate::ops::attention as cpu;
use crate::ops::matmul::Precision;
use crate::ops::testing::random;
use rand::{Rng, SeedableRng};

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

/// Makes a random tree in depth-first order.
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

fn benches() -> [Bench; 2] {
    benches_within(1e-4, 2e-2)
}

/// Extracts the heads `heads` of joint rows, as `[heads, rows, dim]`.
fn of_heads(joint: &[f32], all: Heads, heads: std::ops::Range<usize>) -> Vec<f32> {
    let row = all.all() * all.dim;
    let of_head = |head: usize| {
        let rows = joint.chunks_exact(row);
        rows.flat_map(move |row| row[head * all.dim..][..all.dim].to_vec())
    };
    heads.flat_map(of_head).collect()
}

/// Turns `[heads, rows, dim]` into joint rows: the inverse of [`of_heads`].
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

/// Sums the parts of the query heads that share a key head: the gradients of key heads.
fn sum_groups(parts: &[f32], rows: usize, heads: Heads) -> Vec<f32> {
    let (head, group) = (rows * heads.dim, heads.queries / heads.keys);
    let of_key_head = |parts: &[f32]| -> Vec<f32> {
        let sum = |i: usize| (0..group).map(|query| parts[query * head + i]).sum();
        (0..head).map(sum).collect()
    };
    parts.chunks_exact(group * head).flat_map(of_key_head).collect()
}

/// Makes one segment of `len` rows.
fn one_sequence(len: usize) -> [Segment; 1] {
    [Segment {
        start: 0,
        len,
        parent: None,
        position: 0,
    }]
}

/// Checks forward and backward pass over a tree.
fn check(bench: &Bench, heads: Heads, segments: &[Segment]) {
    let rows = segments.last().map_or(0, |last| last.start + last.len);
    let width = heads.queries * heads.dim;
    let (on_device, joint) = bench.activations(&random(rows * heads.all() * heads.dim, 1));
    let (on_device_dout, dout) = bench.activations(&random(rows * width, 2));
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
    let tiles = tiles.on_device(numbers.upload(&bench.device.driver, &mut room).unwrap());
    let got_out = bench.room(out.len());
    let [got_lse, delta] = [0; 2].map(|_| bench.f32_room(lse.len()));
    let gradients = bench.room(joint.len());
    let qkv = Qkv::joint(on_device.all(), heads);
    attention(&bench.device.driver, &qkv, &tiles, got_out.all(), got_lse.all()).unwrap();
    bench.assert_near(got_out.all(), &out, "out");
    bench.assert_near(got_lse.all(), &lse, "lse");
    let output = AttentionOutput {
        out: got_out.all(),
        lse: got_lse.all(),
        dout: on_device_dout.all(),
        delta: delta.all(),
    };
    attention_backward(
        &bench.device.driver,
        on_device.all(),
        heads,
        &tiles,
        output,
        gradients.all(),
        &mut Scratch::new(Element::F32),
    )
    .unwrap();
    bench.assert_near(
        gradients.all(),
        &to_joint(&[dq, dk, dv], heads, rows),
        "gradients",
    );
}

#[test]
fn heads_of_64_are_those_of_the_cpu() {
    for bench in benches() {
        for (rows, seed) in shapes([(1, 1), (63, 2), (150, 3)], [(1400, 5)]) {
            check(&bench, SMOL, &tree(rows, seed));
        }
    }
}

#[test]
fn heads_of_128_are_those_of_the_cpu() {
    for bench in benches() {
        for (rows, seed) in shapes([(140, 4)], [(1400, 6)]) {
            check(&bench, QWEN, &tree(rows, seed));
        }
    }
}

#[test]
fn one_long_sequence_is_that_of_the_cpu() {
    let heads = Heads {
        queries: 2,
        keys: 1,
        dim: 128,
    };
    for bench in benches() {
        check(&bench, heads, &one_sequence(64 * 4 + 1));
    }
}

/// Checks that rows after a cache get the output that they have in one sequence, wherever the
/// cached rows lie.
#[test]
fn rows_after_a_cache_are_those_of_the_whole() {
    for (bench, heads) in benches().iter().flat_map(|bench| [(bench, SMOL), (bench, QWEN)]) {
        for (rows, new) in shapes([(600, 70)], [(4099, 300)]) {
            check_cache(bench, heads, rows, new);
        }
    }
}

fn check_cache(bench: &Bench, heads: Heads, rows: usize, new: usize) {
    let (driver, width) = (&bench.device.driver, heads.queries * heads.dim);
    let (on_device, joint) = bench.activations(&random(rows * heads.all() * heads.dim, 1));
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
    cpu::attention(cpu_qkv, &cpu::tiles(&one_sequence(rows)), &mut out, &mut lse);

    // The rows of the sequence lie scattered in the cache, and one cache slot is free.
    let (in_cache, free) = (rows + 1, rows - 6);
    let cache_row = |row: usize| row * 7 % in_cache;
    let kept = 2 * heads.keys * heads.dim;
    let cache = DeviceBuffer::zeros(driver, bench.device.element, in_cache * kept).unwrap();
    let keys = |last: usize| (0..=last).map(cache_row).collect::<Vec<_>>();
    assert!(!keys(rows - 1).contains(&free));
    let mut numbers = Numbers::default();
    let places = numbers.push((0..rows).map(|row| cache_row(row) as u32));
    let parts = [(keys(rows - new - 1), 30), (keys(rows - 1), new)];
    let tiles = Tiles::of_cache(&mut numbers, &parts);
    let one_by_one = keys(rows - 2).into_iter().map(|row| row..row + 1).collect();
    let seen = [one_by_one, vec![0..3, 3..290, 290..free, free + 1..in_cache]];
    let seen = VisibleRanges::new(&mut numbers, &seen);
    let mut room = Scratch::new(Element::U32);
    let numbers = numbers.upload(driver, &mut room).unwrap();

    let whole = Qkv::joint(on_device.all(), heads);
    let strides = [whole.kv_stride, kept];
    let places = numbers.slice(places);
    let stored = bench
        .device
        .store_rows(whole.k, places, cache.all(), strides, kept);
    stored.unwrap();
    let after = |first: usize| {
        let projected = on_device.all().slice(first * whole.q_stride..on_device.len());
        Qkv::cached(projected, cache.all(), heads)
    };
    let (first, tiles) = (rows - new - 30, tiles.on_device(numbers));
    let got = bench.room((new + 30) * width);
    let got_lse = bench.f32_room((new + 30) * heads.queries);
    attention(driver, &after(first), &tiles, got.all(), got_lse.all()).unwrap();
    bench.assert_near(got.all(), &out[first * width..], "rows after a cache");

    let got = bench.room(2 * width);
    let (mut scratch, seen) = (DecodeScratch::new(), seen.on_device(numbers));
    scratch
        .attention(driver, &after(rows - 2), &seen, got.all())
        .unwrap();
    bench.assert_near(got.all(), &out[(rows - 2) * width..], "single rows");
}
