//! Gives a model folder random weights: `cargo run --example random_model -- FOLDER`.
//!
//! The folder holds a `config.json` and a tokenizer; `model.safetensors` is written. The training
//! speed of a model depends on its shape alone, so measuring it needs no trained weights.

use std::path::Path;
use toolcall_lib::config::ModelConfig;
use toolcall_lib::serde_json::from_str;
use toolcall_lib::weights::{Parameters, safetensors};
use toolcall_lib::{Dtype, Error, Result};

fn main() -> Result<()> {
    let Some(folder) = std::env::args_os().nth(1) else {
        return Err(Error::invalid("arguments", "expected FOLDER"));
    };
    let file = Path::new(&folder).join("config.json");
    let text = std::fs::read_to_string(&file).map_err(Error::io(&file))?;
    let json = from_str(&text).map_err(|e| Error::invalid(file.display(), e))?;
    let config = ModelConfig::from_json(&json, &file)?;
    let parameters = Parameters::random(&config, 0);
    println!("{} random parameters", parameters.len());
    safetensors::save(
        &parameters,
        &Path::new(&folder).join("model.safetensors"),
        Dtype::F32,
    )
}
