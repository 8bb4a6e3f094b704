//! The few functions of NCCL that are used, loaded at run time.
//!
//! cudarc has bindings too, but does not look for `libnccl.so.2`, the only name that NCCL's
//! packages install without its headers, and it panics if a function is missing.

use crate::error::{Error, Result};
use cudarc::driver::sys::CUstream;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::LazyLock;

/// Names of the library: that of every installation, and that of one with headers.
const NAMES: [&CStr; 2] = [c"libnccl.so.2", c"libnccl.so"];
/// Advice if the library is missing.
const GET: &str = "libnccl.so.2 is not found; GPUs of several ranks need it to exchange gradients. Install NCCL \
    (Debian, Ubuntu: \
                   libnccl2 of NVIDIA's repository), or `pip install nvidia-nccl-cu13` and put the folder of its library into \
                   LD_LIBRARY_PATH";

/// `ncclComm_t`.
pub(super) type Comm = *mut c_void;
/// `ncclResult_t`; 0 is success.
pub(super) type Status = c_int;

/// `ncclUniqueId`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct UniqueId(pub [u8; 128]);

/// `ncclFloat32` and `ncclBfloat16`.
pub(super) const FLOAT32: c_int = 7;
pub(super) const BFLOAT16: c_int = 9;
/// `ncclSum`.
pub(super) const SUM: c_int = 0;

macro_rules! functions {
    ($($field:ident = $name:literal, fn($($argument:ty),*) -> $result:ty;)*) => {
        /// The functions, as `nccl.h` declares them in all releases of NCCL 2.
        pub(super) struct Library {
            $(pub $field: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Library {
            /// Looks up the functions by name with `find`.
            ///
            /// # Safety
            /// `find` returns NCCL's functions.
            unsafe fn new<E>(find: impl Fn(&CStr) -> std::result::Result<*mut c_void, E>) -> std::result::Result<Self, E> {
                type Found = *mut c_void;
                Ok(Self {
                    // SAFETY: the caller keeps the contract.
                    $($field: unsafe {
                        std::mem::transmute::<Found, unsafe extern "C" fn($($argument),*) -> $result>(find($name)?)
                    },)*
                })
            }
        }
    };
}

functions! {
    get_version = c"ncclGetVersion", fn(*mut c_int) -> Status;
    get_error_string = c"ncclGetErrorString", fn(Status) -> *const c_char;
    get_unique_id = c"ncclGetUniqueId", fn(*mut UniqueId) -> Status;
    comm_init_rank = c"ncclCommInitRank", fn(*mut Comm, c_int, UniqueId, c_int) -> Status;
    comm_get_async_error = c"ncclCommGetAsyncError", fn(Comm, *mut Status) -> Status;
    comm_abort = c"ncclCommAbort", fn(Comm) -> Status;
    comm_destroy = c"ncclCommDestroy", fn(Comm) -> Status;
    reduce_scatter = c"ncclReduceScatter", fn(*const c_void, *mut c_void, usize, c_int, c_int, Comm, CUstream) -> Status;
    all_gather = c"ncclAllGather", fn(*const c_void, *mut c_void, usize, c_int, Comm, CUstream) -> Status;
}

static LIBRARY: LazyLock<std::result::Result<Library, String>> = LazyLock::new(load);

/// Returns the library.
///
/// # Errors
/// The library or one of its functions is missing.
pub(super) fn library() -> Result<&'static Library> {
    LIBRARY
        .as_ref()
        .map_err(|problem| Error::invalid("NCCL", problem))
}

/// Loads the library.
fn load() -> std::result::Result<Library, String> {
    // SAFETY: the names end with a zero. The library is never closed.
    let open =
        |name: &&CStr| Some(unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) }).filter(|h| !h.is_null());
    let handle = NAMES.iter().find_map(open).ok_or(GET)?;
    let find = |name: &CStr| {
        // SAFETY: the library is open.
        let function = unsafe { libc::dlsym(handle, name.as_ptr()) };
        match function.is_null() {
            true => Err(format!(
                "this NCCL has no {}; use NCCL 2.4 or newer",
                name.to_string_lossy()
            )),
            false => Ok(function),
        }
    };
    // SAFETY: the functions are NCCL's.
    unsafe { Library::new(find) }
}

impl Library {
    /// Returns the text of a status.
    pub fn text(&self, status: Status) -> String {
        // SAFETY: NCCL has a constant text for every number.
        unsafe { CStr::from_ptr((self.get_error_string)(status)) }
            .to_string_lossy()
            .into_owned()
    }

    /// Returns an error unless NCCL succeeded in `doing` something.
    pub fn check(&self, status: Status, doing: &str) -> Result<()> {
        match status {
            0 => Ok(()),
            _ => {
                let advice = "set NCCL_DEBUG=WARN in the environment to see details";
                Err(Error::invalid(
                    "NCCL",
                    format!("{doing}: {}; {advice}", self.text(status)),
                ))
            }
        }
    }
}

/// Returns the version of NCCL, such as `2.28.9`.
///
/// # Errors
/// NCCL is missing; the message says where to get it.
pub fn nccl_version() -> Result<String> {
    let library = library()?;
    let mut version = 0;
    // SAFETY: `version` may be written to.
    library.check(
        unsafe { (library.get_version)(&raw mut version) },
        "asking for its version",
    )?;
    Ok(match version {
        old @ ..10_000 => format!("{}.{}.{}", old / 1000, old / 100 % 10, old % 100),
        new => format!("{}.{}.{}", new / 10_000, new / 100 % 100, new % 100),
    })
}

/// `ncclInProgress`.
pub(super) const IN_PROGRESS: Status = 7;
