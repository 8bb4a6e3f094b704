//! The instruction set that the kernels of this processor use.
//!
//! Vector code is compiled for AVX-512, for AVX2 and for any processor; products of bf16 also have
//! kernels for AVX-512 BF16 (with VNNI) and AMX. The best one that the processor has runs. The
//! environment variable `TOOLCALL_MAX_CPU_ISA` (or `--max-cpu-isa` of the command line) sets a
//! lower limit, to reproduce the results and the speed of other processors.

use crate::error::{Error, Result};
use std::sync::OnceLock;

/// Name of the environment variable that limits the instruction set.
const VARIABLE: &str = "TOOLCALL_MAX_CPU_ISA";

/// An instruction set. Each contains those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// The instructions that every processor of the architecture has: SSE2 on x86-64, NEON on ARM.
    Portable,
    /// AVX2 and FMA (x86-64-v3).
    Avx2,
    /// AVX-512 (x86-64-v4).
    Avx512,
    /// AVX-512 with products of bf16, and of bytes (VNNI).
    Avx512Bf16,
    /// Products of whole tiles of bf16.
    Amx,
}

/// Names of the instruction sets, as [`VARIABLE`] has them.
const NAMES: [(&str, Isa); 5] = [
    ("portable", Isa::Portable),
    ("avx2", Isa::Avx2),
    ("avx512", Isa::Avx512),
    ("avx512_bf16", Isa::Avx512Bf16),
    ("amx", Isa::Amx),
];

impl Isa {
    /// Returns the name, such as `avx2`.
    fn name(self) -> &'static str {
        let named = NAMES.iter().find(|(_, isa)| *isa == self);
        named.map_or("", |(name, _)| name)
    }

    /// Reads a name such as `avx2`.
    ///
    /// # Errors
    /// There is no such instruction set.
    pub fn named(name: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, isa)| *isa).ok_or_else(|| {
            let known = NAMES.map(|(name, _)| name).join(", ");
            Error::invalid(
                "max_cpu_isa",
                format!("{name:?} is not an instruction set; choose one of {known}"),
            )
        })
    }
}

/// The instruction set of this process; set once.
static ISA: OnceLock<Isa> = OnceLock::new();

/// Returns the instruction set that the kernels use: the best one of the processor, up to the
/// limit.
pub fn isa() -> Isa {
    *ISA.get_or_init(|| best().min(limit_of_environment().ok().flatten().unwrap_or(Isa::Amx)))
}

/// Returns pulp's vector instructions for [`isa`].
pub fn arch() -> pulp::Arch {
    #[cfg(target_arch = "x86_64")]
    match isa() {
        Isa::Portable => return pulp::Arch::Scalar,
        Isa::Avx2 => return pulp::x86::V3::try_new().map_or(pulp::Arch::Scalar, pulp::Arch::V3),
        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => {}
    }
    pulp::Arch::new()
}

/// Limits the instruction set to `most`.
///
/// # Errors
/// Another limit was set before, or a kernel has run.
pub fn limit(most: Isa) -> Result<()> {
    let wanted = best().min(most);
    match *ISA.get_or_init(|| wanted) {
        used if used == wanted => Ok(()),
        used => Err(Error::invalid(
            "max_cpu_isa",
            format!(
                "is {} already; set {} before a model is loaded",
                used.name(),
                wanted.name()
            ),
        )),
    }
}

/// Sets the limit of `TOOLCALL_MAX_CPU_ISA`, unless one was set before.
///
/// # Errors
/// The variable does not name an instruction set.
pub fn limit_by_environment() -> Result<()> {
    if ISA.get().is_none()
        && let Some(most) = limit_of_environment()?
    {
        ISA.get_or_init(|| best().min(most));
    }
    Ok(())
}

/// Reads [`VARIABLE`].
fn limit_of_environment() -> Result<Option<Isa>> {
    match std::env::var(VARIABLE) {
        Ok(name) if !name.is_empty() => Isa::named(&name).map(Some),
        _ => Ok(None),
    }
}

/// Returns the best instruction set of this processor.
#[cfg(target_arch = "x86_64")]
fn best() -> Isa {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let bf16 = is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vnni");
    match () {
        () if !avx2 => Isa::Portable,
        () if !avx512 => Isa::Avx2,
        () if !bf16 => Isa::Avx512,
        () if !amx::is_available() => Isa::Avx512Bf16,
        () => Isa::Amx,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best() -> Isa {
    Isa::Portable
}

#[cfg(target_arch = "x86_64")]
mod amx {
    use std::arch::x86_64::__cpuid_count;

    /// Returns true if the processor has AMX and the system grants this process the tile registers.
    /// On Linux a process must ask for them.
    pub fn is_available() -> bool {
        const TILES: u32 = 1 << 24;
        const BF16: u32 = 1 << 22;
        let features = __cpuid_count(7, 0).edx;
        features & (TILES | BF16) == (TILES | BF16) && allowed()
    }

    /// Asks Linux for the permission to use the tile registers.
    #[cfg(target_os = "linux")]
    fn allowed() -> bool {
        const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_ulong = 18;
        // SAFETY: the call asks for a permission; no memory is involved.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
    }

    #[cfg(not(target_os = "linux"))]
    fn allowed() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_set_that_is_none_is_refused() {
        assert_eq!(Isa::named("avx2").unwrap(), Isa::Avx2);
        let error = Isa::named("avx3").unwrap_err().to_string();
        assert_eq!(
            error,
            "max_cpu_isa: \"avx3\" is not an instruction set; choose one of portable, avx2, avx512, avx512_bf16, amx"
        );
    }

    /// Checks that the variable is the limit. `scripts/check` sets it to one instruction set after
    /// the other.
    #[test]
    fn the_variable_is_the_limit() {
        let most = limit_of_environment().unwrap().unwrap_or(Isa::Amx);
        assert_eq!(isa(), best().min(most));
    }

    #[test]
    fn kernels_that_have_run_keep_their_instruction_set() {
        let used = isa();
        limit(used).unwrap();
        if used > Isa::Portable {
            let error = limit(Isa::Portable).unwrap_err().to_string();
            let want = format!(
                "is {} already; set portable before a model is loaded",
                used.name()
            );
            assert!(error.ends_with(&want), "{error}");
        }
    }
}
