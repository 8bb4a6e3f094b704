//! The training loop.
//!
//! [`train`] prepares a run (`prepare`), steps through it (`run`) and does what is due between two
//! steps (`between_steps`). An `engine` computes the steps, on the CPU or on a GPU; `ranks` and
//! `gradients` divide them among processes.

mod between_steps;
mod checkpoints;
mod config;
mod device;
mod engine;
#[cfg(feature = "cuda")]
mod gpu;
mod gradients;
mod history;
mod identity;
mod metric;
mod order;
mod predict;
mod prepare;
mod ranks;
mod record;
mod report;
mod rows;
mod run;
pub mod settings;
mod state;
mod state_file;
mod step;
mod threads;
mod tracking;
mod trainer_state_json;

pub use crate::device::Device;
#[doc(inline)]
pub use crate::optimizer::{Schedule, Warmup};
pub use config::TrainConfig;
pub use metric::Metric;
pub use predict::OnAnswer;
pub use report::TrainReport;
pub use run::{TrainData, train};
pub use settings::Settings;
pub use step::{EvalScores, StepReport};
