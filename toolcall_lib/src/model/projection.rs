//! The linear layers of a block, grouped by their input.
//!
//! Layers with the same input (q, k and v; gate and up) have neighbouring weights, so that each
//! group is one matrix product.

use super::lora::TargetModule;

/// A linear layer of a block, or several layers with the same input, whose weights are neighbours
/// and act as one matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Projection {
    Qkv,
    Output,
    GateUp,
    Down,
}

impl Projection {
    /// Lists all projections in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Qkv, Self::Output, Self::GateUp, Self::Down];

    /// Returns the layers of the projection, in the order in which their weights lie in memory.
    pub fn modules(self) -> &'static [TargetModule] {
        match self {
            Self::Qkv => &[TargetModule::QProj, TargetModule::KProj, TargetModule::VProj],
            Self::Output => &[TargetModule::OProj],
            Self::GateUp => &[TargetModule::GateProj, TargetModule::UpProj],
            Self::Down => &[TargetModule::DownProj],
        }
    }
}
