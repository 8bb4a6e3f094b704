//! Writes what our decoder computes for one prompt, for `scripts/dev/verify/logits.py` to compare
//! with transformers.
//!
//! ```text
//! cargo run --example logits -- MODEL DATA ROW OUT.safetensors [DTYPE]
//! ```
//!
//! The prompt is that of the first assistant turn of the row; the weights are held as `DTYPE`, by
//! default f32. The file holds `ids` `[tokens]`, `logits` `[tokens, vocabulary]` and `greedy`, the
//! reply without the token that ends it.

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use toolcall_lib::generate::{GenerateConfig, Generator};
use toolcall_lib::weights::Dtype;
use toolcall_lib::{Error, Result, Role, dataset::Dataset, load_as};

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
    let config = GenerateConfig {
        max_new_tokens: 64,
        ..GenerateConfig::default()
    };
    let greedy = Generator::new(&model, config).complete(&prompt, |_| true)?;

    let tensors = || -> candle_core::Result<()> {
        let shape = (ids.len(), model.decoder.config.vocab_size);
        let tensors = HashMap::from([
            ("ids", Tensor::new(&ids[..], &Device::Cpu)?),
            ("logits", Tensor::from_vec(logits, shape, &Device::Cpu)?),
            ("greedy", Tensor::new(&greedy.ids[..], &Device::Cpu)?),
        ]);
        candle_core::safetensors::save(&tensors, out)
    };
    tensors().map_err(Error::library(format!("writing {out}")))
}
