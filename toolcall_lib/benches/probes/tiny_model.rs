//! Writes a tiny model with random weights as a Hugging Face folder: `cargo run --example
//! tiny_model -- FOLDER`.
//!
//! It knows nothing, but everything runs on it in seconds: the notebooks are checked with it.
#![allow(clippy::unwrap_used)]

#[path = "../../tests/common"]
mod common {
    pub mod tiny_config;
    pub mod tiny_model;
    pub mod tiny_tokenizer;
}

fn main() -> toolcall_lib::Result<()> {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: tiny_model FOLDER");
        std::process::exit(2);
    };
    toolcall_lib::save(&common::tiny_model::tiny_model(), std::path::Path::new(&folder))
}
