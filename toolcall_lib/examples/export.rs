//! Writes a model as a Hugging Face folder with f32 weights: `cargo run --example export -- MODEL FOLDER`.

use toolcall_lib::{Error, Result, load, save};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder] = &arguments[..] else {
        return Err(Error::invalid("arguments", "expected MODEL FOLDER"));
    };
    save(&load(model)?, folder)
}
