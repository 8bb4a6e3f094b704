//! All integration tests, in one binary.

// Helpers of tests may panic as tests do. Clippy allows it only in functions that are tests
// themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bfcl;
mod cases;
#[cfg(feature = "cli")]
mod chat;
mod common;
mod data;
mod deepspeed;
mod distributed;
mod evaluate;
#[cfg(feature = "cli")]
mod formats;
#[cfg(unix)]
mod fuzz;
mod generate;
mod hub;
mod loading;
mod lora;
mod model;
mod reply;
mod scored;
mod saving;
#[cfg(feature = "serve")]
mod serve;
mod show;
mod synthetic;
mod template;
mod tokenizer;
mod tokens;
mod tool;
mod track;
mod train;
