//! Fine-tune small open language models for function calling, and use them.
//!
//! A module is a stage of the data and uses only modules above it:
//!
//! | stage | module | in → out |
//! |---|---|---|
//! | | [`json`], [`yaml`] | text → JSON, without any loss |
//! | 1 | [`tool`](mod@tool) | a documented Rust function → JSON schema of a tool that can be called |
//! | | [`syntax`] | how calls stand in a text |
//! | 2 | [`conversation`], [`dataset`], [`synthetic`] | JSON file → validated conversations |
//! | 3 | [`template`] | conversation + tools → the exact text, by the model's own chat template |
//! | 4 | [`tokens`] | text → token ids, marked where they are trained on |
//! | 5 | [`batch`] | token sequences → one packed tree with shared prefixes |
//! | 6 | [`config`], [`weights`] | config + safetensors / GGUF / hub → named parameters |
//! | | [`data_source`] | file, folder or hub → conversations |
//! | 7 | [`ops`], [`model`] | packed tree → hidden states, loss and gradients |
//! | 8 | [`collective`] | sums and parts of many processes |
//! | 9 | [`optimizer`] | gradients → new weights |
//! | | [`device`] | the device that computes: the CPU, or a GPU |
//! | 10 | [`checkpoint`] | a model ⇄ a Hugging Face folder |
//! | 11 | [`reply`] | text → tool calls or content |
//! | 12 | [`generate`](mod@generate) | prompt → tokens; calls that fit the tools |
//! | 13 | [`evaluate`], [`bfcl`] | calls against truth → scores |
//! | | [`track`] | numbers of a run → TensorBoard, Weights & Biases |
//! | 14 | [`train`](mod@train) | the loop over 5–10, scored by 13 |
//! | 15 | [`show`] | what a notebook displays |
//! | | [`terminal`] | text of others, before it is printed |
//! | 16 | `serve` | models as a server that clients of OpenAI's API use (feature `serve`) |

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doc)]
#[doc = include_str!("../docs/design.md")]
pub mod _design {}

pub mod terminal;
pub mod error;
pub mod interrupt;
pub mod files;
pub mod json;
mod python;
pub mod yaml;
mod guard;
pub mod tool;
pub mod syntax;
pub mod conversation;
pub mod dataset;
pub mod synthetic;
pub mod template;
pub mod tokens;
pub mod batch;
pub mod config;
pub mod weights;
pub mod data_source;
pub mod ops;
pub mod model;
pub mod collective;
pub mod optimizer;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
pub mod checkpoint;
pub mod reply;
pub mod generate;
pub mod evaluate;
pub mod bfcl;
pub mod track;
pub mod train;
pub mod show;
#[cfg(feature = "serve")]
pub mod serve;

// Tools for the tests of several modules, and for the tests outside the library.
#[cfg(test)]
#[path = "../tests/common/tiny_config.rs"]
mod tiny_config;
#[cfg(test)]
#[cfg(feature = "cuda")]
#[path = "../tests/common/tiny_model.rs"]
mod tiny_model;
#[cfg(test)]
#[path = "../tests/common/tiny_tokenizer.rs"]
mod tiny_tokenizer;

// `#[tool]` expands to `::toolcall_lib::…` paths; this makes them work inside the crate and its
// tests too.
extern crate self as toolcall_lib;

pub use checkpoint::{load, load_as, save, save_as};
pub use conversation::{Conversation, Message, Role};
pub use dataset::Dataset;
pub use error::{Error, Result};
pub use generate::{GenerateConfig, Generation, Generator, generate};
pub use model::{LoraConfig, Model};
pub use schemars;
pub use serde;
pub use serde_json;
pub use tool::{Tool, ToolCall, ToolSchema};
pub use toolcall_macros::tool;
pub use train::{StepReport, TrainConfig, TrainReport, train};
pub use weights::Dtype;
