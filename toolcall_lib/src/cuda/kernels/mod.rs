//! The sources of the kernels.

/// Kernels that are compiled together.
#[derive(Debug)]
pub(crate) struct Module {
    pub name: &'static str,
    code: &'static str,
}

/// What every module begins with.
const COMMON: &str = concat!(include_str!("common.cuh"), "\n", include_str!("rows.cuh"));

macro_rules! modules {
    ($($name:literal),*) => {
        /// All of them.
        pub(crate) const MODULES: &[Module] = &[
            $(Module { name: $name, code: include_str!(concat!($name, ".cu")) }),*
        ];
    };
}

modules!(
    "norm",
    "rope",
    "swiglu",
    "cross_entropy",
    "embedding",
    "adamw",
    "copy",
    "attention",
    "attention_f32",
    "decode",
    "dropout"
);

impl Module {
    /// The whole source.
    pub fn source(&self) -> String {
        format!("{COMMON}\n#line 1 \"{}.cu\"\n{}", self.name, self.code)
    }

    /// The names of its kernels: each stands at the end of the source as `KERNEL(name)`.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let registered = |line: &'static str| line.strip_prefix("KERNEL(")?.strip_suffix(")");
        self.code.lines().filter_map(registered)
    }
}
