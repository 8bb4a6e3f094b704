//! The linear layers of a block, grouped by their input.
//!
//! Layers with the same input (q, k and v; gate and up) have neighbouring weights, so that each
//! group is one matrix product.

use serde::{Deserialize, Serialize};

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

/// A linear layer of a block that can be adapted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // their names say it
pub enum TargetModule {
    QProj,
    KProj,
    VProj,
    OProj,
    GateProj,
    UpProj,
    DownProj,
}

impl TargetModule {
    /// Lists all linear layers of a block.
    pub const ALL: [Self; 7] = [
        Self::QProj,
        Self::KProj,
        Self::VProj,
        Self::OProj,
        Self::GateProj,
        Self::UpProj,
        Self::DownProj,
    ];

    /// Returns the layer's name in `target_modules`.
    pub fn name(self) -> &'static str {
        match self {
            Self::QProj => "q_proj",
            Self::KProj => "k_proj",
            Self::VProj => "v_proj",
            Self::OProj => "o_proj",
            Self::GateProj => "gate_proj",
            Self::UpProj => "up_proj",
            Self::DownProj => "down_proj",
        }
    }

    /// Returns the layer's name in a model, such as `model.layers.0.self_attn.q_proj`.
    pub(in crate::model) fn full_name(self, layer: usize) -> String {
        let part = match self {
            Self::QProj | Self::KProj | Self::VProj | Self::OProj => "self_attn",
            Self::GateProj | Self::UpProj | Self::DownProj => "mlp",
        };
        in_block(layer, &format!("{part}.{}", self.name()))
    }
}

/// Returns the Hugging Face name of a part of a block, such as `model.layers.0.mlp.up_proj`.
pub(super) fn in_block(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}")
}
