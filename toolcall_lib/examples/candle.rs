//! Trains a Llama here, then runs its weights in candle-transformers, with no file in between.
//!
//! ```console
//! $ cargo run --release --example candle -- MODEL data/tool_heldout.json
//! ```
//!
//! MODEL is of the Llama family, such as `.toolcall/models/SmolLM2-135M-Instruct.gguf`.

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};
use toolcall_lib::serde_json::{Value, from_value};
use toolcall_lib::*;

/// Most tokens of the reply.
const LONGEST: usize = 64;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, rows] = &arguments[..] else {
        return Err(Error::invalid("arguments", "expected MODEL ROWS"));
    };
    let (mut model, data) = (load(name)?, Dataset::load(rows)?);
    if model.decoder.config.model_type != "llama" {
        return Err(Error::invalid(
            name,
            "is not a model of the Llama family; give one",
        ));
    }
    // 1. Two steps here, and a prompt.
    let config = TrainConfig {
        max_steps: Some(2),
        ..TrainConfig::default()
    };
    train(&mut model, &data, &config, |step| println!("{step}"))?;
    let row = &data.rows[0];
    let prompt = model.template.render_prompt(&row.messages[..1], &row.tools)?;
    let prompt = model.tokenizer.encode(&prompt)?;
    // 2. The weights move into candle's model; tokenizer and template stay.
    let (decoder, tokenizer) = (model.decoder, model.tokenizer);
    let shape = Value::Object(decoder.config.to_json(&tokenizer.eos_token_ids));
    let shape: LlamaConfig = from_value(shape).map_err(Error::library("reading the config"))?;
    let weights = VarBuilder::from_tensors(decoder.into_candle()?, DType::F32, &Device::Cpu);
    let said = greedy(weights, shape, prompt, &tokenizer.eos_token_ids);
    let said = said.map_err(Error::library("running candle"))?;
    println!("{}", tokenizer.decode(&said)?);
    Ok(())
}

/// Continues a prompt with candle-transformers' Llama.
fn greedy(
    weights: VarBuilder<'_>,
    shape: LlamaConfig,
    mut next: Vec<u32>,
    ends: &[u32],
) -> candle_core::Result<Vec<u32>> {
    let (config, device) = (shape.into_config(false), Device::Cpu);
    let llama = Llama::load(weights, &config)?;
    let mut cache = Cache::new(true, DType::F32, &config, &device)?;
    let (mut position, mut said) = (0, Vec::new());
    while said.len() < LONGEST {
        let ids = Tensor::new(&next[..], &device)?.unsqueeze(0)?;
        let logits = llama.forward(&ids, position, &mut cache)?;
        let token = logits.i(0)?.argmax(0)?.to_scalar()?;
        if ends.contains(&token) {
            break;
        }
        position += next.len();
        said.push(token);
        next = vec![token];
    }
    Ok(said)
}
