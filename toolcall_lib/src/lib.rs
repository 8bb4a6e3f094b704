//! Fine-tune small open language models for function calling, and use them.
//!
//! ```
//! use toolcall_lib::*;
//!
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
//! # fn main() -> Result<()> {
//! # let _folder = example_folder();
//! // 1. A model, and conversations in which it calls tools.
//! let mut model = load("HuggingFaceTB/SmolLM2-135M-Instruct")?;
//! let (data, held_out) = (Dataset::load("rows.json")?, Dataset::load("heldout.json")?);
//! // 2. Training, with settings for that many rows.
//! let config = TrainConfig::default().for_rows(data.rows.len());
//! let report = train(&mut model, &data, &config, |step| println!("{step}"))?;
//! println!("{report}");
//! // 3. How many calls are right on rows that were not trained on.
//! let scores = evaluate(&model, &held_out.rows, &EvaluateConfig::default())?;
//! println!("{scores}");
//! // 4. A folder that transformers, vLLM and llama.cpp's converter read.
//! save(&model, "out/tuned")?;
//! // 5. Replies whose calls fit the tools.
//! let question = [Message::user("Set a timer for 5 minutes.")];
//! let reply = generate(&model, &question, &model.tools, &GenerateConfig::default())?;
//! println!("{}", reply.text);
//! # Ok(())
//! # }
//! ```
//!
//! [`load`], [`train`](fn@train), [`save`] and [`generate`](fn@generate) are the main functions.
//! Beyond them: a [`Generator`] keeps what prompts share and streams text; [`TrainData`] adds a
//! validation set and ranks to a run; [`augment`] makes rows from your own tools;
//! [`tool`](macro@tool) turns a documented Rust function into a tool; the program `toolcall` has
//! the same as commands.
//!
//! The modules, in order; each uses only modules above it:
//!
//! | module | in → out |
//! |---|---|
//! | [`error`] | the one error type |
//! | [`tool`](mod@tool) | a documented function → JSON schema of a tool |
//! | [`conversation`], [`dataset`] | JSON → checked conversations |
//! | [`synthetic`] | lists of requests, values and tools → made conversations |
//! | [`template`] | conversation + tools → text, by the model's own chat template |
//! | [`tokens`] | text → token ids, marked where they are trained on |
//! | [`batch`] | token sequences → one packed tree with shared prefixes |
//! | [`config`], [`weights`] | config + safetensors / GGUF / hub → named parameters |
//! | [`data_source`] | file, folder or hub → conversations |
//! | [`model`] | packed tree → hidden states, loss and gradients; on the kernels in `ops` |
//! | [`collective`] | ranks: reduce-scatter, all-gather, sums |
//! | [`device`], `cuda` | the device that computes: the CPU, or a GPU |
//! | [`checkpoint`] | a model ⇄ a Hugging Face folder |
//! | [`reply`] | text → tool calls or content |
//! | [`generate`](mod@generate) | prompt → tokens; calls that fit the tools |
//! | [`evaluate`](mod@evaluate), [`bfcl`] | calls against truth → scores |
//! | [`track`] | numbers of a run → TensorBoard, Weights & Biases |
//! | [`train`](mod@train) | the training loop over trees, model and `optimizer` (AdamW, ZeRO) |
//! | [`show`] | what a notebook displays |
//! | `serve` | a server that clients of OpenAI's API use (feature `serve`) |

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doc)]
#[doc = include_str!("../docs/design.md")]
pub mod _design {}

// Modules with `doc(hidden)` are pub for the program `toolcall`, the tests (also those in the
// documentation) and the benches of this repository; users need none of them.
#[doc(hidden)]
pub mod terminal;
pub mod error;
#[doc(hidden)]
pub mod interrupt;
mod machine;
mod mutex;
#[doc(hidden)]
pub mod files;
#[doc(hidden)]
pub mod json;
mod python;
#[doc(hidden)]
pub mod yaml;
mod guard;
pub mod tool;
#[doc(hidden)]
pub mod syntax;
pub mod conversation;
pub mod dataset;
pub mod synthetic;
pub mod template;
pub mod tokens;
pub mod batch;
pub mod config;
#[doc(hidden)]
pub mod cpu;
pub mod weights;
pub mod data_source;
#[doc(hidden)]
pub mod ops;
pub mod model;
pub mod collective;
#[doc(hidden)]
pub mod optimizer;
#[cfg(feature = "cuda")]
#[doc(hidden)]
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

/// Name of this client in HTTP requests.
pub(crate) const AGENT: &str = concat!("toolcall/", env!("CARGO_PKG_VERSION"));

// Helpers for the tests of several modules, and for the tests outside the library.
#[cfg(test)]
#[path = "../tests/common/tiny_config.rs"]
mod tiny_config;
#[cfg(test)]
#[path = "../tests/common/tiny_model.rs"]
mod tiny_model;
#[cfg(test)]
#[path = "../tests/common/tiny_tokenizer.rs"]
mod tiny_tokenizer;

// `#[tool]` expands to `::toolcall_lib::…` paths; this makes them work inside the crate and its
// tests too.
extern crate self as toolcall_lib;

pub use batch::TreeBatch;
pub use checkpoint::{PushConfig, Pushed, default_model, load, load_as, push_to_hub, save, save_as};
pub use conversation::{Conversation, Message, Role};
pub use dataset::Dataset;
pub use error::{Error, Result};
pub use evaluate::{EvaluateConfig, Evaluation, evaluate};
pub use generate::{GenerateConfig, Generation, Generator, generate};
pub use model::{LoraConfig, Model};
pub use reply::Reply;
pub use schemars;
pub use serde;
pub use serde_json;
pub use show::{Comparison, TokenView, compare, loss_plot};
pub use synthetic::{AugmentConfig, Augmented, Lists, augment};
pub use template::legacy_prompt;
pub use tokens::{LossMode, Sequence, sequences};
pub use tool::{Tool, ToolCall, ToolSchema, answer, load_tools};
pub use toolcall_macros::tool;
pub use train::{StepReport, TrainConfig, TrainData, TrainReport, train};
pub use weights::Dtype;
