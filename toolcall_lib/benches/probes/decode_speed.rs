//! Measures how fast a model reads prompts, writes tokens and calls tools, for
//! `scripts/dev/bench_generate.sh`:
//! `cargo run --release --example decode_speed -- MODEL WORK.json`.
//!
//! The work is `{"prompts": [[id, …], …], "new_tokens": n, "batches": [1, 8, …], "data": FILE,
//! "calls": [row, …], "most_call_tokens": n}`. The program prints one line of JSON: the seconds to
//! read the first prompt; for each batch size, the median of the seconds to write a token after
//! each of as many prompts; and medians for a whole call that answers the first message of each of
//! the rows, from the text of the prompt on: cold, and with the tools read before. Decoding is
//! greedy.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use toolcall_lib::generate::{Generator, ToolChoice};
use toolcall_lib::model::{Decoder, KvSequence, KvStore, Workspace};
use toolcall_lib::serde_json::{Value, from_str, json};
use toolcall_lib::weights::Dtype;
use toolcall_lib::{Conversation, Dataset, Error, GenerateConfig, Model, Result, load_as, serde};

#[derive(Deserialize)]
struct Work {
    prompts: Vec<Vec<u32>>,
    new_tokens: usize,
    batches: Vec<usize>,
    data: String,
    calls: Vec<usize>,
    most_call_tokens: usize,
}

/// Memory for keys and values, in bytes.
const CACHE: usize = 1 << 30;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, work] = &arguments[..] else {
        return Err(Error::invalid("arguments", "expected MODEL WORK.json"));
    };
    let text = std::fs::read_to_string(work).map_err(Error::io(Path::new(work)))?;
    let work: Work = from_str(&text).map_err(|e| Error::invalid(work, e))?;
    let model = load_as(model, Dtype::Auto)?;
    let (decoder, mut workspace) = (&model.decoder, Workspace::default());

    let mut read = 0.0;
    for _ in 0..2 {
        let mut cache = KvStore::new(&decoder.config, CACHE);
        let sequence = cache.begin(&work.prompts[0]);
        let start = Instant::now();
        decoder.next_logits(&[(&sequence, &[])], &mut cache, &mut workspace)?;
        read = start.elapsed().as_secs_f64();
    }
    let mut written = BTreeMap::new();
    for &batch in &work.batches {
        let prompts = work.prompts.iter().cycle().take(batch);
        written.insert(batch, write(decoder, prompts, work.new_tokens, &mut workspace)?);
    }
    let rows = Dataset::load(&work.data)?.rows;
    let result = json!({
        "prompt_tokens": work.prompts[0].len(),
        "read_seconds": read,
        "token_seconds": written,
        "weight_bytes": decoder.weights.bytes(),
        "calls": calls(&model, work.calls.iter().map(|&row| &rows[row]), work.most_call_tokens)?,
    });
    println!("{result}");
    Ok(())
}

/// Returns the median of the seconds that a token after each prompt takes.
fn write<'a>(
    decoder: &Decoder,
    prompts: impl Iterator<Item = &'a Vec<u32>>,
    new_tokens: usize,
    workspace: &mut Workspace,
) -> Result<f64> {
    let mut cache = KvStore::new(&decoder.config, CACHE);
    let sequences: Vec<KvSequence> = prompts.map(|prompt| cache.begin(prompt)).collect();
    let mut new: Vec<Vec<u32>> = vec![Vec::new(); sequences.len()];
    let mut seconds = Vec::new();
    for _ in 0..new_tokens + 2 {
        let start = Instant::now();
        let pass: Vec<(&KvSequence, &[u32])> = sequences.iter().zip(new.iter().map(Vec::as_slice)).collect();
        let logits = decoder.next_logits(&pass, &mut cache, workspace)?;
        let best = logits.chunks_exact(decoder.config.vocab_size).map(best);
        new = best.map(|id| vec![id]).collect();
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(median(seconds.split_off(2))) // the first read the prompts, the second found memory
}

/// Returns the seconds and tokens of the calls that answer these rows: each with its own
/// cache, and all with one cache. The first row only fills the shared cache and is not timed.
fn calls<'a>(model: &Model, rows: impl Iterator<Item = &'a Conversation>, most: usize) -> Result<Value> {
    let config = GenerateConfig {
        max_new_tokens: most,
        tool_choice: ToolChoice::Required,
        parallel_tool_calls: false,
        ..GenerateConfig::default()
    };
    let (mut cold, mut warm, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    let new = || Generator::new(model, config.clone());
    let mut kept = new();
    for row in rows {
        for (generator, seconds) in [(&mut new(), &mut cold), (&mut kept, &mut warm)] {
            let start = Instant::now();
            let reply = generator.reply(&row.messages[..1], &row.tools)?;
            seconds.push(start.elapsed().as_secs_f64());
            tokens.push(reply.ids.len() as f64);
        }
    }
    let (cold, warm) = (median(cold.split_off(1)), median(warm.split_off(1)));
    Ok(json!({"cold_seconds": cold, "warm_seconds": warm, "tokens": median(tokens)}))
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn best(logits: &[f32]) -> u32 {
    let largest = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    largest.unwrap_or(0) as u32
}
