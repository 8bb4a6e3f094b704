//! Writes what our decoder computes for one prompt, for `scripts/dev/verify/logits.py` to compare
//! with transformers.
//!
//! ```text
//! cargo run --example logits -- MODEL DATA ROW OUT.safetensors [DTYPE]
//! ```
//!
//! The prompt is that of the first assistant turn of the row; the weights are held as `DTYPE`, by
//! default f32. The file holds `ids` `[tokens]`, `logits` `[tokens, vocabulary]` of one pass,
//! `steps` `[last tokens, vocabulary]` of passes of one token each, as in a reply, and `greedy`,
//! the reply without the token that ends it.

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use toolcall_lib::generate::{GenerateConfig, Generator};
use toolcall_lib::model::{Decoder, KvStore, Workspace};
use toolcall_lib::weights::Dtype;
use toolcall_lib::{Error, Result, Role, dataset::Dataset, load_as};

/// Most tokens that go through the model one by one.
const STEPS: usize = 64;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ([model, data, row, out], dtype) = (match &arguments[..] {
        [paths @ .., dtype] if paths.len() == 4 => (paths, dtype.parse()?),
        paths => (paths, Dtype::F32),
    }) else {
        let expected = "expected MODEL DATA ROW OUT.safetensors [DTYPE]";
        return Err(Error::invalid("arguments", expected));
    };
    let model = load_as(model, dtype)?;
    let data = Dataset::load(data)?;
    let row = row.parse().ok().and_then(|row: usize| data.rows.get(row));
    let row = row.ok_or_else(|| Error::invalid("ROW", format!("expected 0 to {}", data.rows.len() - 1)))?;

    let before = row
        .messages
        .iter()
        .take_while(|m| m.role != Role::Assistant)
        .count();
    let prompt = model
        .template
        .render_prompt(&row.messages[..before], &row.tools)?;
    let ids = model.tokenizer.encode(&prompt)?;
    let logits = model.decoder.logits(&ids)?;
    let steps = logits_of_steps(&model.decoder, &ids)?;
    let config = GenerateConfig {
        max_new_tokens: 64,
        ..GenerateConfig::default()
    };
    let greedy = Generator::new(&model, config).complete(&prompt, |_| true)?;

    let tensors = || -> candle_core::Result<()> {
        let vocabulary = model.decoder.config.vocab_size;
        let tensors = HashMap::from([
            ("ids", Tensor::new(&ids[..], &Device::Cpu)?),
            ("logits", rows(logits, vocabulary)?),
            ("steps", rows(steps, vocabulary)?),
            ("greedy", Tensor::new(&greedy.ids[..], &Device::Cpu)?),
        ]);
        candle_core::safetensors::save(&tensors, out)
    };
    tensors().map_err(Error::library(format!("writing {out}")))
}

/// Returns the logits of the last tokens, `[tokens, vocabulary]`, computed one token at a time.
fn logits_of_steps(decoder: &Decoder, ids: &[u32]) -> Result<Vec<f32>> {
    let (mut cache, mut workspace) = (KvStore::new(&decoder.config, 0), Workspace::default());
    let (first, last) = ids.split_at(ids.len() - STEPS.min(ids.len() - 1));
    let sequence = cache.begin(first);
    decoder.next_logits(&[(&sequence, &[])], &mut cache, &mut workspace)?;
    let mut logits = Vec::new();
    for id in last {
        logits.extend(decoder.next_logits(&[(&sequence, &[*id])], &mut cache, &mut workspace)?);
    }
    Ok(logits)
}

fn rows(elements: Vec<f32>, columns: usize) -> candle_core::Result<Tensor> {
    Tensor::from_vec(elements, ((), columns), &Device::Cpu)
}
