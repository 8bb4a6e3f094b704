//! Measures how fast a GPU trains and replies, and where its time goes, for
//! `scripts/dev/verify_gpu.sh`. Built with the feature `cuda`.
//!
//! `gpu_speed steps MODEL DATA CONFIG.json` makes the steps of a training run with these settings
//! twice. It prints one line of JSON: the time of each kernel in the second pass, when all products
//! are prepared, and the peak of the allocated memory.
//!
//! `gpu_speed replies MODEL DATA OTHER BATCHES NEW` replies in bf16 to the first message of rows of
//! DATA, with NEW tokens each. BATCHES (such as 1,8,32) are numbers of replies that are written at
//! once. It prints a line of JSON for each: the tokens of the prompts, the seconds to read them
//! all, and the seconds to write a token after each of them. Before that it replies to as many rows
//! of OTHER, which has other tools, and does not time them: they allocate memory and prepare
//! products.

use std::path::Path;
use std::time::Instant;
use toolcall_lib::conversation::Role;
use toolcall_lib::cuda::{Profile, profile};
use toolcall_lib::device::Device;
use toolcall_lib::generate::{Generator, PrefixCache, Prompt};
use toolcall_lib::serde_json::{Map, Value, from_str, json};
use toolcall_lib::{
    Conversation, Dataset, Dtype, Error, GenerateConfig, Model, Result, TrainConfig, load, load_as, train,
};

/// Memory for keys and values, in bytes.
const CACHE: usize = 16 << 30;
/// Tokens of the replies that are not timed.
const WARM_UP: usize = 4;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["steps", model, data, config] => println!("{}", steps(model, data, config)?),
        ["replies", model, data, other, batches, new] => {
            let (model, new) = (load_as(model, Dtype::Bf16)?, number(new)?);
            for batch in batches.split(',') {
                println!("{}", replies(&model, data, other, number(batch)?, new)?);
            }
        }
        _ => {
            let usage = "expected steps MODEL DATA CONFIG.json, or replies MODEL DATA OTHER BATCHES NEW";
            return Err(Error::invalid("arguments", usage));
        }
    }
    Ok(())
}

fn number(text: &str) -> Result<usize> {
    text.parse().map_err(|e| Error::invalid(text, e))
}

fn steps(model: &str, data: &str, config: &str) -> Result<Value> {
    let text = std::fs::read_to_string(config).map_err(Error::io(Path::new(config)))?;
    let changes: Map<String, Value> = from_str(&text).map_err(|e| Error::invalid(config, e))?;
    let config = TrainConfig {
        device: Device::Cuda,
        ..TrainConfig::trl().with(changes)?
    };
    let data = Dataset::load(data)?;
    let run = || train(&mut load(model)?, &data, &config, |_| {});
    run()?;
    let (report, Profile { kernels, peak_bytes }) = profile(run)?;
    let kernels = kernels
        .iter()
        .map(|kernel| json!({"name": kernel.name, "calls": kernel.calls, "seconds": kernel.seconds}));
    let samples: Vec<f64> = report.steps.iter().map(|step| step.samples_per_second).collect();
    Ok(json!({
        "steps": report.steps.len(),
        "samples_per_second": samples,
        "peak_bytes": peak_bytes,
        "kernels": kernels.collect::<Vec<_>>(),
    }))
}

fn replies(model: &Model, data: &str, other: &str, batch: usize, new: usize) -> Result<Value> {
    let (rows, others) = (first_rows(data, batch)?, first_rows(other, batch)?);
    let config = GenerateConfig {
        constrained: false,
        device: Device::Cuda,
        ..GenerateConfig::default()
    };
    let mut generator = Generator {
        cache: PrefixCache::with_bytes(CACHE),
        ..Generator::new(model, config)
    };
    seconds(&mut generator, &others, WARM_UP)?;
    let read = seconds(&mut generator, &rows, 1)?;
    let write = seconds(&mut generator, &rows, new)?; // the prompts are known now
    let mut tokens = 0;
    for row in &rows {
        let text = model.template.render_prompt(before_the_reply(row), &row.tools)?;
        tokens += model.tokenizer.encode(&text)?.len();
    }
    Ok(json!({
        "batch": batch,
        "prompt_tokens": tokens,
        "read_seconds": read,
        "token_seconds": write / new as f64,
    }))
}

fn first_rows(file: &str, count: usize) -> Result<Vec<Conversation>> {
    let rows = Dataset::load(file)?.rows;
    if rows.is_empty() {
        return Err(Error::invalid(file, "has no rows"));
    }
    Ok(rows.into_iter().cycle().take(count).collect())
}

fn before_the_reply(row: &Conversation) -> &[toolcall_lib::Message] {
    let reply = row
        .messages
        .iter()
        .position(|message| message.role == Role::Assistant);
    &row.messages[..reply.unwrap_or(row.messages.len())]
}

/// Returns the seconds to write `new` tokens after each prompt, greedily, all at once.
fn seconds(generator: &mut Generator<&Model>, rows: &[Conversation], new: usize) -> Result<f64> {
    generator.config.max_new_tokens = new;
    let prompts: Vec<Prompt<'_>> = rows
        .iter()
        .map(|row| (before_the_reply(row), &row.tools[..]))
        .collect();
    let start = Instant::now();
    let replies = generator.replies(&prompts)?;
    let seconds = start.elapsed().as_secs_f64();
    match replies.iter().position(|reply| reply.ids.len() < new) {
        None => Ok(seconds),
        Some(row) => Err(Error::invalid(
            format!("reply {row}"),
            "ends early, so that its time says nothing",
        )),
    }
}
