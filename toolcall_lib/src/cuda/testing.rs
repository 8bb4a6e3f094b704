//! The device of the tests, and their tolerances.
//!
//! Kernels are emulated on the host. `TOOLCALL_TEST_DEVICE=cuda` takes the first GPU instead, with
//! the shapes of real models as well as small ones; `TOOLCALL_TEST_SHAPES=small` or `real` forces
//! one choice. `TOOLCALL_TEST_RECORD=FILE` appends a line of JSON to a file for every comparison:
//! its difference, whether that is too large, and the kernels that have run since the last one. A
//! test then goes on after a difference that is too large, so that all are known; the reader of the
//! file has to check them.

use super::driver::{Driver, Element, Gemm};
use super::emulate::emulated;
use super::nvidia::first_gpu;
use crate::error::Result;
use serde_json::json;
use std::collections::BTreeSet;
use std::ffi::{OsStr, c_void};
use std::fs::OpenOptions;
use std::io::Write;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

/// Tolerances from here on are those of bf16.
const ROUGH: f32 = 2e-3;
/// Largest relative difference of a GPU: its exponential function differs, and it adds in another
/// order.
const OF_F32: f32 = 1e-4;
const OF_BF16: f32 = 6e-2;

static LAUNCHED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// Returns the device of a test.
pub(crate) fn driver() -> Arc<dyn Driver> {
    let driver = match on_gpu() {
        true => first_gpu().unwrap(),
        false => emulated(),
    };
    Arc::new(Watched(driver))
}

/// Returns true if tests run on a GPU.
pub(crate) fn on_gpu() -> bool {
    match std::env::var("TOOLCALL_TEST_DEVICE").as_deref() {
        Ok("cuda") => true,
        Ok("emulated") | Err(_) => false,
        Ok(other) => panic!("TOOLCALL_TEST_DEVICE: `{other}` is not known; expected cuda or emulated"),
    }
}

/// Returns the small shapes, and those of real models if they are wanted.
pub(crate) fn shapes<T>(
    small: impl IntoIterator<Item = T>,
    real: impl IntoIterator<Item = T>,
) -> impl Iterator<Item = T> {
    let wanted = match std::env::var("TOOLCALL_TEST_SHAPES").as_deref() {
        Ok("real") => true,
        Ok("small") => false,
        Ok(other) => panic!("TOOLCALL_TEST_SHAPES: `{other}` is not known; expected small or real"),
        Err(_) => on_gpu(),
    };
    small.into_iter().chain(real.into_iter().filter(move |_| wanted))
}

/// Checks numbers against the CPU's: no difference exceeds `tolerance` times the largest number. A
/// GPU may differ more.
pub(crate) fn assert_near(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let differences = got.iter().zip(want).map(|(got, want)| (got - want).abs());
    let off = |x: &f32| if x.is_nan() { f32::INFINITY } else { *x };
    let (worst, difference) = differences
        .enumerate()
        .max_by(|a, b| off(&a.1).total_cmp(&off(&b.1)))
        .map_or((0, 0.0), |(worst, x)| (worst, off(&x)));
    let compared = Compared {
        what,
        off: f64::from(difference),
        largest: f64::from(largest),
        tolerance: f64::from(tolerance),
    };
    let problem = || format!("element {worst}: {}, not {}", got[worst], want[worst]);
    compared.check(problem);
}

/// Checks a single number, relative to the wanted one.
pub(crate) fn assert_near_number(got: f64, want: f64, tolerance: f64, what: &str) {
    let off = (got - want).abs();
    let compared = Compared {
        what,
        off: if off.is_nan() { f64::INFINITY } else { off },
        largest: want.abs(),
        tolerance,
    };
    compared.check(|| format!("{got}, not {want}"));
}

/// Checks a difference that is relative already.
pub(crate) fn assert_apart(off: f64, tolerance: f64, what: &str) {
    let compared = Compared {
        what,
        off,
        largest: 1.0,
        tolerance,
    };
    compared.check(|| "they differ".to_string());
}

struct Compared<'a> {
    what: &'a str,
    /// The largest difference.
    off: f64,
    /// The largest number that is wanted.
    largest: f64,
    tolerance: f64,
}

impl Compared<'_> {
    fn check(&self, problem: impl Fn() -> String) {
        let rough = self.tolerance >= f64::from(ROUGH);
        let of_gpu = f64::from(if rough { OF_BF16 } else { OF_F32 });
        let allowed = match on_gpu() {
            true => self.tolerance.max(of_gpu),
            false => self.tolerance,
        };
        let relative = self.off / self.largest.max(1e-6);
        match std::env::var_os("TOOLCALL_TEST_RECORD") {
            Some(file) => self.record(&file, if rough { "bf16" } else { "f32" }, relative, allowed),
            None => assert!(
                relative <= allowed,
                "{}: {} (largest {}; off by {relative:.1e}, allowed {allowed:.1e})",
                self.what,
                problem(),
                self.largest
            ),
        }
    }

    fn record(&self, file: &OsStr, precision: &str, relative: f64, allowed: f64) {
        let kernels = std::mem::take(&mut *LAUNCHED.lock().unwrap());
        let line = json!({
            "test": std::thread::current().name(),
            "what": self.what,
            "precision": precision,
            "off": self.off.min(f64::MAX), // JSON has no infinity
            "largest": self.largest,
            "relative": relative.min(f64::MAX),
            "allowed": allowed,
            "within": relative <= allowed,
            "kernels": kernels,
        });
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// Notes the kernels that run.
#[derive(Debug)]
struct Watched(Arc<dyn Driver>);

impl Driver for Watched {
    fn alloc(&self, bytes: usize) -> Result<u64> {
        self.0.alloc(bytes)
    }

    fn free(&self, address: u64) {
        self.0.free(address);
    }

    fn alloc_host(&self, bytes: usize) -> Result<NonNull<u8>> {
        self.0.alloc_host(bytes)
    }

    fn free_host(&self, memory: NonNull<u8>, bytes: usize) {
        self.0.free_host(memory, bytes);
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<()> {
        self.0.upload(to, from)
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<()> {
        self.0.download(from, to)
    }

    fn zero(&self, at: u64, bytes: usize) -> Result<()> {
        self.0.zero(at, bytes)
    }

    fn launch(
        &self,
        kernel: &'static str,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        args: &mut [*mut c_void],
    ) -> Result<()> {
        LAUNCHED.lock().unwrap().insert(kernel);
        self.0.launch(kernel, grid, block, shared, args)
    }

    fn gemm(&self, gemm: &Gemm) -> Result<()> {
        LAUNCHED.lock().unwrap().insert(match gemm.a.element {
            Element::Bf16 => "matmul_bf16",
            _ => "matmul_f32",
        });
        self.0.gemm(gemm)
    }
}
