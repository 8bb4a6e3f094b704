//! The sources of the kernels, one module per file.

/// Kernels that are compiled together.
#[derive(Debug)]
pub(crate) struct Module {
    pub name: &'static str,
    code: &'static str,
}

/// Source at the beginning of every module.
const COMMON: &str = concat!(include_str!("common.cuh"), "\n", include_str!("rows.cuh"));

macro_rules! modules {
    ($($name:literal),*) => {
        /// All modules.
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
    /// Returns the whole source.
    pub fn source(&self) -> String {
        source(self.name, self.code)
    }

    /// Returns the names of the module's kernels: the source ends with a line `KERNEL(name)` for
    /// each.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let registered = |line: &'static str| line.strip_prefix("KERNEL(")?.strip_suffix(")");
        self.code.lines().filter_map(registered)
    }
}

/// Returns the whole source of a module. `#line` makes compiler messages name the line in the
/// module's own file.
pub(crate) fn source(name: &str, code: &str) -> String {
    format!("{COMMON}\n#line 1 \"{name}.cu\"\n{code}")
}
