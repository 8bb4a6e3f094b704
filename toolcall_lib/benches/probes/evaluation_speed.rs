//! Measures replies to the prompts of held-out rows: one after the other, with shared prefixes
//! kept, and together; free and constrained to the tools.
//!
//! ```text
//! cargo run --release --example evaluation_speed -- MODEL PROMPTS MAX_NEW_TOKENS DATA…
//! ```

use std::time::Instant;
use toolcall_lib::generate::{Generator, Prompt};
use toolcall_lib::{Conversation, Dataset, GenerateConfig, Generation, Model, Result, generate, load};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, prompts, tokens, files @ ..] = &arguments[..] else {
        eprintln!("usage: evaluation_speed MODEL PROMPTS MAX_NEW_TOKENS DATA…");
        return Ok(());
    };
    let model: Model = load(model)?;
    let mut rows: Vec<Conversation> = Vec::new();
    for file in files {
        rows.extend(Dataset::load(file)?.rows);
    }
    rows.truncate(prompts.parse().unwrap_or(200));
    let prompts: Vec<Prompt<'_>> = rows
        .iter()
        .map(|row| (&row.messages[..1], &row.tools[..]))
        .collect();
    let config = GenerateConfig {
        max_new_tokens: tokens.parse().unwrap_or(96),
        ..GenerateConfig::default()
    };
    for constrained in [false, true] {
        let config = GenerateConfig {
            constrained,
            ..config.clone()
        };
        let held = if constrained {
            "constrained to the tools"
        } else {
            "free"
        };
        show(&format!("one by one, {held}"), || {
            prompts
                .iter()
                .map(|(messages, tools)| generate(&model, messages, tools, &config))
                .collect()
        })?;
        let mut generator = Generator::new(&model, config.clone());
        show(&format!("one by one, prefixes kept, {held}"), || {
            let ask = |(messages, tools): &Prompt<'_>| generator.reply(messages, tools);
            prompts.iter().map(ask).collect()
        })?;
        show(&format!("together, {held}"), || {
            Generator::new(&model, config.clone()).replies(&prompts)
        })?;
    }
    Ok(())
}

fn show(what: &str, write: impl FnOnce() -> Result<Vec<Generation>>) -> Result<()> {
    let start = Instant::now();
    let replies = write()?;
    let seconds = start.elapsed().as_secs_f64();
    let tokens: usize = replies.iter().map(|reply| reply.ids.len()).sum();
    println!(
        "{what:45} {seconds:7.2} s  {:7.1} tokens/s",
        tokens as f64 / seconds
    );
    Ok(())
}
