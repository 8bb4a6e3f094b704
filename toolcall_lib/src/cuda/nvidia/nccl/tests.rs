//! Tests of NCCL with one rank, on a single GPU. `TOOLCALL_TEST_DEVICE=cuda … --ignored nccl` runs
//! them.

use super::*;
use crate::collective::OneRank;
use crate::cuda::buffer::DeviceBuffer;
use crate::cuda::driver::Driver;
use crate::cuda::nvidia::first_gpu;
use crate::cuda::ops::Device;
use crate::ops::testing::random;

#[test]
#[ignore = "needs a GPU and NCCL"]
fn one_rank_keeps_what_it_has() {
    let gpu = first_gpu().unwrap();
    let ranks = Nccl::join(&gpu, &OneRank, Duration::from_secs(60)).unwrap();
    assert_eq!(ranks.shard(), Shard::WHOLE);
    let driver: Arc<dyn Driver> = gpu.clone();
    let device = Device::new(driver.clone(), Element::F32, 8).unwrap();
    for len in [1, 1000, 3 << 20] {
        let (x, y) = (random(len, 1), random(len, 2));
        let [on_x, on_y] = [&x, &y].map(|x| DeviceBuffer::from_host(&driver, Element::F32, x).unwrap());
        let mut want = y;
        for _ in 0..20 {
            // NCCL has to wait for the first sum, and the next sum for NCCL.
            device.add(on_x.all(), on_y.all()).unwrap();
            let sums = ranks.start_reduce_scatter(on_y.all()).unwrap();
            let whole = ranks.start_all_gather(on_y.all()).unwrap();
            ranks.join(sums).unwrap();
            ranks.join(whole).unwrap();
            want.iter_mut().zip(&x).for_each(|(y, x)| *y += x);
        }
        let mut got = vec![0.0f32; len];
        on_y.all().download(&*driver, &mut got).unwrap();
        assert_eq!(got, want);
    }
    let bits: Vec<u16> = (0..1000).collect();
    let rounded = DeviceBuffer::from_host(&driver, Element::Bf16, &bits).unwrap();
    ranks
        .join(ranks.start_all_gather(rounded.all()).unwrap())
        .unwrap();
    let mut got = vec![0u16; bits.len()];
    rounded.all().download(&*driver, &mut got).unwrap();
    assert_eq!(got, bits);
}

#[test]
#[ignore = "needs a GPU and NCCL"]
fn a_connection_can_be_made_again() {
    let gpu = first_gpu().unwrap();
    for _ in 0..2 {
        let ranks = Nccl::join(&gpu, &OneRank, Duration::from_secs(60)).unwrap();
        drop(ranks);
        gpu.check_trouble().unwrap();
    }
}
