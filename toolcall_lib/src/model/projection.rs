//! The linear layers of a block.

use super::lora::TargetModule;

/// A linear layer of a block, or several with the same input: their weights are neighbours and used as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Projection {
    Qkv,
    Output,
    GateUp,
    Down,
}

impl Projection {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Qkv, Self::Output, Self::GateUp, Self::Down];

    /// Its layers, in the order in which their weights lie in memory.
    pub fn modules(self) -> &'static [TargetModule] {
        match self {
            Self::Qkv => &[TargetModule::QProj, TargetModule::KProj, TargetModule::VProj],
            Self::Output => &[TargetModule::OProj],
            Self::GateUp => &[TargetModule::GateProj, TargetModule::UpProj],
            Self::Down => &[TargetModule::DownProj],
        }
    }
}
