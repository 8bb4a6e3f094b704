//! The emulation itself: barriers, warps, tensor cores, and what it refuses.

use super::super::buffer::{Argument, DeviceBuffer};
use super::*;
use crate::ops::testing::random;
use std::fmt::Write;

#[test]
fn threads_meet_at_barriers_and_exchange_through_warps() {
    let driver = emulated();
    let x: Vec<f32> = (0..300).map(|i| i as f32).collect();
    let input = DeviceBuffer::from_host(&driver, Element::F32, &x).unwrap();
    let sums = DeviceBuffer::new(&driver, Element::F32, 3).unwrap();
    let args: [Argument; 3] = [input.all().into(), sums.all().into(), 300u32.into()];
    driver.run("probe_sum", [3, 1, 1], 128, 0, args).unwrap();
    let mut got = [0.0f32; 3];
    sums.all().download(&*driver, &mut got).unwrap();
    let want: Vec<f32> = x.chunks(128).map(|part| part.iter().sum()).collect();
    assert_eq!(got, *want);
}

#[test]
fn a_tensor_core_multiplies_what_its_lanes_hold() {
    let driver = emulated();
    let matrix = |len, seed| -> Vec<bf16> { random(len, seed).into_iter().map(bf16::from_f32).collect() };
    let (a, b) = (matrix(256, 1), matrix(128, 2));
    let transposed: Vec<bf16> = (0..128).map(|i| b[i % 16 * 8 + i / 16]).collect();
    let device = |x: &[bf16]| {
        DeviceBuffer::from_host(&driver, Element::Bf16, bytemuck::cast_slice::<_, u16>(x)).unwrap()
    };
    let [on_a, on_b, on_transposed] = [&a, &b, &transposed].map(|x| device(x));
    let d = DeviceBuffer::new(&driver, Element::F32, 128).unwrap();
    let args: [Argument; 4] = [&on_a, &on_b, &on_transposed, &d].map(|x| x.all().into());
    driver.run("probe_mma", [1, 1, 1], 32, 1280, args).unwrap();
    let mut got = [0.0f32; 128];
    d.all().download(&*driver, &mut got).unwrap();
    for (i, got) in got.into_iter().enumerate() {
        let products = (0..16).map(|k| a[i / 8 * 16 + k].to_f32() * b[k * 8 + i % 8].to_f32());
        let want = 2.0 * products.sum::<f32>();
        assert!((got - want).abs() < 1e-5, "element {i}: {got} not {want}");
    }
}

#[test]
fn what_a_gpu_would_refuse_is_an_error() {
    let driver = emulated();
    let x = DeviceBuffer::zeros(&driver, Element::F32, 80).unwrap();
    let mut problems = String::new();
    for (kernel, grid, threads, shared) in [
        ("probe_lost", [1, 1, 1], 64, 0),
        ("probe_none", [1, 1, 1], 64, 0),
        ("probe_misaligned", [1, 1, 1], 64, 0),
        ("probe_sum", [1, 65_536, 1], 64, 0),
        ("probe_sum", [1, 1, 1], 1056, 0),
        ("probe_sum", [1, 1, 1], 64, 228 << 10),
    ] {
        let error = driver
            .run(kernel, grid, threads, shared, [x.all().into(); 3])
            .unwrap_err();
        writeln!(problems, "{error}").unwrap();
    }
    let want = "probe_lost: a thread waits for others that do not come
probe_none: there is no such kernel
probe_misaligned: a load or a copy of several elements begins where it may not
probe_sum: no GPU has so many blocks in a grid, or threads in a block
probe_sum: no GPU has so many blocks in a grid, or threads in a block
probe_sum: no GPU has so much shared memory
";
    assert_eq!(problems, want);
}
