//! How fast a model reads prompts and writes tokens, for `scripts/bench_generate.sh`:
//! `cargo run --release --example decode_speed -- MODEL DTYPE WORK.json`.
//!
//! The work is `{"prompts": [[id, …], …], "new_tokens": n, "batches": [1, 8, …]}`. What is printed is one line of JSON:
//! seconds to read the first prompt, and for each batch the median of the seconds to write a token after each of as many
//! prompts. Tokens are the most likely ones; a token that ends a reply does not.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use toolcall_lib::model::{Decoder, KvSequence, KvStore, Workspace};
use toolcall_lib::serde_json::{from_str, json};
use toolcall_lib::{Error, Result, load_as, serde};

#[derive(Deserialize)]
struct Work {
    prompts: Vec<Vec<u32>>,
    new_tokens: usize,
    batches: Vec<usize>,
}

/// Memory for keys and values, in bytes.
const CACHE: usize = 1 << 30;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, dtype, work] = &arguments[..] else {
        return Err(Error::invalid("arguments", "expected MODEL DTYPE WORK.json"));
    };
    let text = std::fs::read_to_string(work).map_err(Error::io(Path::new(work)))?;
    let work: Work = from_str(&text).map_err(|e| Error::invalid(work, e))?;
    let decoder = load_as(model, dtype.parse()?)?.decoder;
    let mut workspace = Workspace::default();

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
        written.insert(batch, write(&decoder, prompts, work.new_tokens, &mut workspace)?);
    }
    let result = json!({
        "prompt_tokens": work.prompts[0].len(),
        "read_seconds": read,
        "token_seconds": written,
        "weight_bytes": decoder.weights.bytes(),
    });
    println!("{result}");
    Ok(())
}

/// Median of the seconds that a token after each prompt takes.
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
    let written = &mut seconds[2..]; // the first read the prompts, the second found memory
    written.sort_by(f64::total_cmp);
    Ok(written[written.len() / 2])
}

fn best(logits: &[f32]) -> u32 {
    let largest = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    largest.unwrap_or(0) as u32
}
