//! `toolcall push`.

use super::INTERRUPTED;
use super::output::{print, tell};
use std::path::PathBuf;
use std::process::ExitCode;
use toolcall_lib::{Dtype, PushConfig, Result, interrupt, push_to_hub};

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder of a saved model or LoRA adapter, as `toolcall train` and `toolcall export` write it
    folder: PathBuf,
    /// Name of the repository on the hub, which is created if there is none; without an owner it
    /// belongs to the user of the token. The token, which needs write access, is read from HF_TOKEN
    /// or from the file that `hf auth login` writes
    #[arg(value_name = "[OWNER/]NAME")]
    repo: String,
    /// Make the repository public, or push to one that is
    #[arg(long)]
    public: bool,
    /// Branch to push to; it is created if there is none
    #[arg(long, default_value = "main")]
    revision: String,
    /// First line of the commit
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Also make a GGUF file of the model for llama.cpp and Ollama, and upload it too: f32, bf16,
    /// f16, q8_0, q4_0 or q4_k_m
    #[arg(long, value_name = "DTYPE")]
    gguf: Option<Dtype>,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let default = PushConfig::default();
    let config = PushConfig {
        private: !arguments.public,
        revision: arguments.revision.clone(),
        commit_message: arguments.message.clone().unwrap_or(default.commit_message),
        gguf: arguments.gguf,
    };
    match push_to_hub(&arguments.folder, &arguments.repo, &config) {
        Err(error) if interrupt::requested() => {
            tell(error);
            Ok(ExitCode::from(INTERRUPTED))
        }
        pushed => {
            print(format!("pushed to {}", pushed?))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
