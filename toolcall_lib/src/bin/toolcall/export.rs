//! `toolcall export`.

use std::path::PathBuf;
use std::process::ExitCode;
use toolcall_lib::terminal::printable;
use toolcall_lib::{Dtype, Result, load, save_as};

#[derive(clap::Args)]
pub struct Arguments {
    /// A PEFT folder of a LoRA adapter, a Hugging Face model folder, a .gguf file, or a hub id
    #[arg(long)]
    model: String,
    /// Folder for the whole model, or a .gguf file for llama.cpp
    #[arg(long)]
    out: PathBuf,
    /// In what the weights are written: f32 or bf16; a .gguf file also f16, q8_0, q4_0 or q4_k_m
    #[arg(long, visible_alias = "quant", default_value = "f32")]
    dtype: Dtype,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut model = load(&arguments.model)?;
    let notes = model.notes.iter();
    notes.for_each(|note| eprintln!("note: {}", printable(note)));
    model.merge();
    save_as(&model, &arguments.out, arguments.dtype)?;
    println!("saved {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}
