//! `toolcall export`.

mod check;
mod llama;

use super::INTERRUPTED;
use super::output::{note, print, tell};
use check::{Check, Tolerance};
use std::path::PathBuf;
use std::process::ExitCode;
use toolcall_lib::checkpoint::reserve;
use toolcall_lib::{Dtype, Result, load, save_as};

#[derive(clap::Args)]
pub struct Arguments {
    /// A PEFT folder of a LoRA adapter, a Hugging Face model folder, a .gguf file, or a hub id
    #[arg(long)]
    model: String,
    /// Folder for the whole model, or a .gguf file for llama.cpp and, with the Modelfile beside it,
    /// Ollama
    #[arg(long)]
    out: PathBuf,
    /// Type of the written weights: f32 or bf16; in a .gguf file also f16, q8_0, q4_0 or q4_k_m
    #[arg(long, visible_alias = "quant", default_value = "f32")]
    dtype: Dtype,
    /// Conversations to score the model on before it is written and after it is read again, as
    /// `toolcall eval` does. Lost calls are an error
    #[arg(long, value_name = "DATA")]
    check: Option<PathBuf>,
    /// Number of rows that may lose their call in --check, in each program that reads the export.
    /// Default: none with f32; 1 in 100 rows with a call with bf16, f16, q8_0 and in llama.cpp; 1
    /// in 20 with 4 bits
    #[arg(long, value_name = "ROWS", requires = "check")]
    tolerance: Option<usize>,
    /// Python program with llama.cpp's binding, to answer the rows of --check from a .gguf file in
    /// llama.cpp too. Default: the one that `scripts/setup.sh llama_cpp` makes, if it is there
    #[arg(long, value_name = "PYTHON", requires = "check")]
    llama: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let out = reserve(&arguments.out)?; // before the work
    let llama = match (&arguments.check, out) {
        (Some(_), None) => llama::find(arguments.llama.as_deref())?,
        (_, Some(_)) if arguments.llama.is_some() => return Err(llama::wants_gguf(&arguments.out)),
        _ => None,
    };
    let check = arguments.check.as_deref().map(Check::read).transpose()?;
    let mut model = load(&arguments.model)?;
    model.notes.iter().for_each(note);
    model.merge();
    let before = check.as_ref().map(|check| check.score(&model)).transpose()?;
    if let (Some(check), Some(before)) = (&check, &before)
        && !check.is_complete(before)
    {
        tell("stopped by the user; nothing is exported");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    save_as(&model, &arguments.out, arguments.dtype)?;
    print(format!("saved {}", arguments.out.display()))?;
    drop(model);
    let (Some(check), Some(before)) = (check, before) else {
        return Ok(ExitCode::SUCCESS);
    };
    let tolerance = Tolerance {
        given: arguments.tolerance,
        dtype: arguments.dtype,
    };
    check.again(&arguments.out, &before, tolerance, llama.as_deref())
}
