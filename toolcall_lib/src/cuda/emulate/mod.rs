//! A GPU emulated on the host, for tests: the same kernels, compiled by the host's C++ compiler.

mod ranks;
mod tests;

pub(crate) use ranks::emulated_ranks;

use super::driver::{Driver, Element, Gemm, Operand};
use super::kernels::{MODULES, source};
use crate::error::{Error, Result};
use half::bf16;
use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::ptr::NonNull;
use std::sync::{Arc, LazyLock, Mutex};

const RUNTIME: &str = include_str!("emulate.hpp");
const PROBE: &str = include_str!("probe.cu");
/// Bytes after every allocation, checked when it is freed.
const CANARY: [u8; 256] = [0xc5; 256];

type Launch = unsafe extern "C" fn(
    *const c_char,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    usize,
    *mut *mut c_void,
) -> c_int;

/// The host as a GPU. New memory is filled with NaN.
#[derive(Debug, Default)]
pub(crate) struct Emulated {
    allocations: Mutex<HashMap<u64, usize>>,
}

/// Returns an emulated driver.
pub(crate) fn emulated() -> Arc<dyn Driver> {
    Arc::new(Emulated::default())
}

static LAUNCH: LazyLock<Launch> = LazyLock::new(|| {
    let library = library();
    let path = CString::new(library.to_str().unwrap()).unwrap();
    // SAFETY: the library is ours, and the function has this type in emulate.hpp.
    unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!handle.is_null(), "{:?}", CStr::from_ptr(libc::dlerror()));
        let launch = libc::dlsym(handle, c"emulate_launch".as_ptr());
        assert!(!launch.is_null(), "emulate_launch is missing");
        std::mem::transmute::<*mut c_void, Launch>(launch)
    }
});

/// Returns the library of compiled kernels beside the test's binary. Every test is a process, and
/// one of them compiles; a file lock makes the others wait.
fn library() -> PathBuf {
    let mut sources: Vec<(&str, String)> = MODULES
        .iter()
        .map(|module| (module.name, module.source()))
        .collect();
    sources.push(("probe", source("probe", PROBE)));
    // 1. A folder for these sources.
    let mut key = DefaultHasher::new();
    (&sources, RUNTIME).hash(&mut key);
    let exe = std::env::current_exe().unwrap();
    let folder = exe
        .parent()
        .unwrap()
        .join(format!("emulated-{:016x}", key.finish()));
    let library = folder.join("kernels.so");
    fs::create_dir_all(&folder).unwrap();
    // 2. Compile them, if no other process has.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    if !library.exists() {
        compile(&folder, &sources);
        let unfinished = folder.join("unfinished.so");
        let mut link = compiler();
        link.arg("-shared").arg("-o").arg(&unfinished);
        link.args(
            sources
                .iter()
                .map(|(name, _)| folder.join(name).with_extension("o")),
        );
        assert!(link.status().unwrap().success());
        fs::rename(unfinished, &library).unwrap();
    }
    library
}

fn compiler() -> Command {
    Command::new(std::env::var_os("CXX").unwrap_or_else(|| "c++".into()))
}

/// Compiles the modules, two at a time.
fn compile(folder: &Path, sources: &[(&str, String)]) {
    fs::write(folder.join("emulate.hpp"), RUNTIME).unwrap();
    let start = |(name, source): &(&str, String)| -> Child {
        let file = folder.join(name).with_extension("cpp");
        fs::write(
            &file,
            format!("#define EMULATED\n#include \"emulate.hpp\"\n{source}"),
        )
        .unwrap();
        let mut command = compiler();
        command.args([
            "-std=c++17",
            "-O2",
            "-march=native",
            "-fPIC",
            "-U_FORTIFY_SOURCE",
            "-Wall",
            "-Werror",
        ]);
        command.args(["-Wno-unknown-pragmas", "-Wno-unused-function", "-c", "-o"]);
        command.arg(file.with_extension("o")).arg(file).spawn().unwrap()
    };
    for pair in sources.chunks(2) {
        let mut compilers: Vec<Child> = pair.iter().map(start).collect();
        compilers
            .iter_mut()
            .for_each(|child| assert!(child.wait().unwrap().success(), "see above"));
    }
}

/// Returns the memory layout of an allocation with its canary.
fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes + CANARY.len(), 256).unwrap()
}

impl Driver for Emulated {
    fn alloc(&self, bytes: usize) -> Result<u64> {
        // SAFETY: the layout is not empty, and the memory is as long as it says.
        let address = unsafe {
            let memory = alloc(layout(bytes));
            memory.write_bytes(0xff, bytes);
            memory.add(bytes).copy_from(CANARY.as_ptr(), CANARY.len());
            memory as u64
        };
        self.allocations.lock().unwrap().insert(address, bytes);
        Ok(address)
    }

    fn free(&self, address: u64) {
        let bytes = self.allocations.lock().unwrap().remove(&address).unwrap();
        // SAFETY: `alloc` made it like this, and it is freed once.
        unsafe {
            let memory = address as *mut u8;
            let canary = std::slice::from_raw_parts(memory.add(bytes), CANARY.len());
            let intact = canary == CANARY;
            dealloc(memory, layout(bytes));
            assert!(
                intact || std::thread::panicking(),
                "a kernel wrote beyond {bytes} bytes"
            );
        }
    }

    fn alloc_host(&self, bytes: usize) -> Result<NonNull<u8>> {
        // SAFETY: the layout is not empty.
        Ok(NonNull::new(unsafe { alloc(layout(bytes)) }).unwrap())
    }

    fn free_host(&self, memory: NonNull<u8>, bytes: usize) {
        // SAFETY: `alloc_host` made it with this layout.
        unsafe { dealloc(memory.as_ptr(), layout(bytes)) };
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<()> {
        // SAFETY: the caller names memory of that size.
        unsafe { (to as *mut u8).copy_from(from.as_ptr(), from.len()) };
        Ok(())
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<()> {
        // SAFETY: the caller names memory of that size.
        unsafe { (from as *const u8).copy_to(to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn zero(&self, at: u64, bytes: usize) -> Result<()> {
        // SAFETY: the caller names memory of that size.
        unsafe { (at as *mut u8).write_bytes(0, bytes) };
        Ok(())
    }

    fn launch(
        &self,
        kernel: &'static str,
        [gx, gy, gz]: [u32; 3],
        [bx, by, bz]: [u32; 3],
        shared: u32,
        args: &mut [*mut c_void],
    ) -> Result<()> {
        let name = CString::new(kernel).map_err(Error::library("launching a kernel"))?;
        // SAFETY: the caller's arguments are those of the kernel.
        let status = unsafe {
            LAUNCH(
                name.as_ptr(),
                gx,
                gy,
                gz,
                bx,
                by,
                bz,
                shared as usize,
                args.as_mut_ptr(),
            )
        };
        let problem = match status {
            0 => return Ok(()),
            1 => "there is no such kernel",
            2 => "a thread waits for others that do not come",
            3 => "no GPU has so much shared memory",
            4 => "no GPU has so many blocks in a grid, or threads in a block",
            _ => "a load or a copy of several elements begins where it may not",
        };
        Err(Error::invalid(kernel, problem))
    }

    /// Computes a product row by row.
    fn gemm(&self, gemm: &Gemm) -> Result<()> {
        let &Gemm {
            m,
            n,
            k,
            alpha,
            beta,
            d,
            ..
        } = gemm;
        let (a, b) = (read(gemm.a, m, k), read(gemm.b, k, n));
        // Row i of the product: sums of scaled rows of b.
        for i in 0..m {
            let mut sums = vec![0.0f32; n];
            for (x, b) in a[i * k..][..k].iter().zip(b.chunks_exact(n)) {
                sums.iter_mut().zip(b).for_each(|(sum, y)| *sum += x * y);
            }
            // Scale, add what was there, and round.
            for (j, sum) in sums.into_iter().enumerate() {
                let at = i * d.stride + j;
                // SAFETY: the caller names memory of that size and type.
                unsafe {
                    let before = if beta == 0.0 { 0.0 } else { beta * load(d, at) };
                    match d.element {
                        Element::Bf16 => (d.address as *mut bf16)
                            .add(at)
                            .write(bf16::from_f32(alpha * sum + before)),
                        _ => (d.address as *mut f32).add(at).write(alpha * sum + before),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads an element as f32.
///
/// # Safety
/// The element exists.
unsafe fn load(from: Operand, at: usize) -> f32 {
    // SAFETY: the caller keeps the contract.
    unsafe {
        match from.element {
            Element::Bf16 => (from.address as *const bf16).add(at).read().to_f32(),
            _ => (from.address as *const f32).add(at).read(),
        }
    }
}

/// Reads an operand of a product as `[rows, columns]`.
fn read(from: Operand, rows: usize, columns: usize) -> Vec<f32> {
    let at = |i: usize| match (i / columns, i % columns) {
        (row, column) if from.transposed => column * from.stride + row,
        (row, column) => row * from.stride + column,
    };
    // SAFETY: the caller of `gemm` names memory of that size and type.
    (0..rows * columns)
        .map(|i| unsafe { load(from, at(i)) })
        .collect()
}
