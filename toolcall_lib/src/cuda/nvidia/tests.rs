//! Tests that need a GPU. `TOOLCALL_TEST_DEVICE=cuda … --ignored nvidia` runs them.

use super::*;
use crate::cuda::buffer::DeviceBuffer;
use crate::cuda::ops::Device;
use std::sync::Arc;

#[test]
#[ignore = "needs a GPU"]
fn every_kernel_is_compiled_and_loaded() {
    let gpu = first_gpu().unwrap();
    let names: Vec<&str> = kernels::MODULES.iter().flat_map(kernels::Module::names).collect();
    let missing = names.iter().filter(|name| !gpu.kernels.contains_key(*name));
    assert_eq!(missing.count(), 0);
    assert_eq!(gpu.kernels.len(), names.len());
    println!("{gpu:?}: {} kernels", names.len());
}

#[test]
#[ignore = "needs a GPU"]
fn a_profile_says_what_ran() {
    let driver: Arc<dyn Driver> = first_gpu().unwrap();
    let device = Device::new(driver.clone(), Element::F32, 8).unwrap();
    let ((), profile) = profile(|| {
        let [x, y] = [1.0f32, 2.0].map(|x| DeviceBuffer::from_host(&driver, Element::F32, &[x; 1000]));
        let (x, y) = (x?, y?);
        (0..3).try_for_each(|_| device.add(x.all(), y.all()))?;
        let mut sum = [0.0f32; 1000];
        y.all().download(&*driver, &mut sum)?;
        assert_eq!(sum, [5.0; 1000]);
        Ok(())
    })
    .unwrap();
    let mut ran: Vec<(&str, usize)> = profile
        .kernels
        .iter()
        .map(|k| (k.name.as_str(), k.calls))
        .collect();
    ran.sort_unstable();
    assert_eq!(
        ran,
        [("add", 3), ("copy from the GPU", 1), ("copy to the GPU", 2)]
    );
    assert!(profile.peak_bytes >= 8000);
}

#[test]
#[ignore = "needs a GPU"]
fn what_the_driver_refuses_is_said() {
    let gpu = first_gpu().unwrap();
    let problem = |result: Result<()>| result.unwrap_err().to_string();
    let missing = problem(gpu.launch("none", [1; 3], [32, 1, 1], 0, &mut []));
    assert_eq!(missing, "CUDA: there is no kernel none");
    let much = problem(gpu.launch("add", [1; 3], [32, 1, 1], 1 << 20, &mut []));
    let want = "CUDA: asking for 1048576 bytes of shared memory for add: invalid argument";
    assert_eq!(much, want);
    let all = problem(gpu.alloc(1 << 50).map(drop));
    assert!(
        all.contains("out of memory; set a smaller `max_tokens_per_tree`"),
        "{all}"
    );
    let other = Nvidia::open(1000).unwrap_err().to_string();
    assert!(other.starts_with("GPU 1000: there are only "), "{other}");
}
