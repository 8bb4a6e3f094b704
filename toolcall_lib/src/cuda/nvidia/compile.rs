//! Compilation of the kernels with NVRTC; the machine code is kept on disk.

use crate::cuda::kernels::Module;
use crate::error::{Error, Result};
use cudarc::nvrtc::result::{NvrtcError, compile_program, create_program, destroy_program, get_program_log};
use cudarc::nvrtc::sys;
use std::ffi::{CString, c_char};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::PathBuf;
use std::{env, fs};

/// Returns the machine code of a module for a GPU of this compute capability, from the disk or
/// freshly compiled. The file name has a hash of source, architecture and compiler version.
pub(super) fn cubin(module: &Module, capability: (i32, i32)) -> Result<Vec<u8>> {
    let source = module.source();
    let arch = format!("sm_{}{}", capability.0, capability.1);
    let mut key = DefaultHasher::new();
    (&source, &arch, version()?).hash(&mut key);
    let file =
        folder().map(|folder| folder.join(format!("{}-{arch}-{:016x}.cubin", module.name, key.finish())));
    if let Some(cubin) = file.as_ref().and_then(|file| fs::read(file).ok()) {
        return Ok(cubin);
    }
    let cubin = compile(module.name, source, &arch)?;
    if let Some(file) = file {
        // If the home folder is read-only, the next start compiles again, which costs seconds.
        store(&file, &cubin).ok();
    }
    Ok(cubin)
}

/// Returns `$TOOLCALL_HOME/kernels`, or a folder in the user's cache.
fn folder() -> Option<PathBuf> {
    let path = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = || path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")));
    path("TOOLCALL_HOME")
        .or_else(|| cache().map(|cache| cache.join("toolcall")))
        .map(|home| home.join("kernels"))
}

/// Stores a whole file or none, because other processes may do the same.
fn store(file: &std::path::Path, cubin: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(cubin)?;
    new.persist(file)?;
    Ok(())
}

/// Makes an error from one of NVRTC, for `map_err`.
fn nvrtc(doing: &str) -> impl FnOnce(NvrtcError) -> Error {
    let doing = doing.to_string();
    move |error| Error::invalid("NVRTC", format!("{doing}: {error}"))
}

/// Returns the version of NVRTC.
fn version() -> Result<(i32, i32)> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both numbers may be written to.
    unsafe { sys::nvrtcVersion(&mut major, &mut minor).result() }.map_err(nvrtc("asking for its version"))?;
    Ok((major, minor))
}

/// Compiles a source to machine code for `arch`.
fn compile(name: &str, source: String, arch: &str) -> Result<Vec<u8>> {
    let source = CString::new(source).map_err(Error::library("reading a kernel"))?;
    let name = CString::new(format!("{name}.cu")).map_err(Error::library("reading a kernel"))?;
    let program = create_program(&source, Some(&name)).map_err(nvrtc("making a program"))?;
    // SAFETY: the program is destroyed here only, after its last use.
    unsafe {
        let cubin = compiled(program, arch);
        destroy_program(program).map_err(nvrtc("ending a program"))?;
        cubin
    }
}

/// Compiles a program; an error has the compiler's log.
///
/// # Safety
/// The program is alive.
unsafe fn compiled(program: sys::nvrtcProgram, arch: &str) -> Result<Vec<u8>> {
    let options = [format!("--gpu-architecture={arch}"), "--std=c++17".to_string()];
    // SAFETY: the caller keeps the contract; the buffer is as long as NVRTC says.
    unsafe {
        if let Err(error) = compile_program(program, &options) {
            let log = get_program_log(program).unwrap_or_default();
            let log = String::from_utf8_lossy(bytemuck::cast_slice(&log));
            let advice = "if the CUDA tool kit is older than the GPU, update it";
            let problem = format!("{error} for {arch} ({advice})\n{}", log.trim_matches('\0'));
            return Err(Error::invalid("NVRTC", problem));
        }
        let mut size = 0;
        sys::nvrtcGetCUBINSize(program, &mut size)
            .result()
            .map_err(nvrtc("asking for a size"))?;
        let mut cubin = vec![0u8; size];
        sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast::<c_char>())
            .result()
            .map_err(nvrtc("asking for machine code"))?;
        Ok(cubin)
    }
}
