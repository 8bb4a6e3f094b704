//! Reading the config of a model from the metadata of a GGUF file.

use super::{Gguf, rope};
use crate::config::ModelConfig;
use crate::error::Result;
use serde_json::{Map, json};

/// Reads the config. It goes through the reader of `config.json`, so that the same things are
/// refused.
pub(super) fn read(gguf: &Gguf) -> Result<ModelConfig> {
    // 1. Architecture, and settings that are not supported.
    let key = "general.architecture";
    let architecture = gguf.text(key)?.ok_or_else(|| gguf.missing(key))?;
    if !["llama", "qwen2", "qwen3"].contains(&architecture) {
        let problem = format!(
            "`{architecture}` is not supported; supported are llama (Mistral is one), qwen2 and qwen3"
        );
        return Err(gguf.wrong(key, problem));
    }
    let metadata = Metadata { gguf, architecture };
    metadata.refuse_unsupported()?;
    // 2. Sizes; the vocabulary is as large as the embedding.
    let embedding = gguf.content.tensor_infos.get("token_embd.weight");
    let vocab_size = embedding
        .and_then(|info| info.shape.dims().first())
        .ok_or_else(|| gguf.missing("token_embd.weight"))?;
    let heads = metadata.need("attention.head_count")?;
    let hidden_size = metadata.need("embedding_length")?;
    let head_dim = metadata
        .size("attention.key_length")?
        .unwrap_or(hidden_size / heads.max(1));
    let rope_theta = gguf.float(&metadata.key("rope.freq_base"))?.unwrap_or(10_000.0);
    // 3. The same fields as in a `config.json`.
    let fields = json!({
        "model_type": architecture,
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "intermediate_size": metadata.need("feed_forward_length")?,
        "num_hidden_layers": metadata.need("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.size("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_dim,
        "rms_norm_eps": gguf.float(&metadata.key("attention.layer_norm_rms_epsilon"))?,
        "rope_theta": rope_theta,
        "max_position_embeddings": metadata.need("context_length")?,
        "tie_word_embeddings": !gguf.content.tensor_infos.contains_key("output.weight"),
    });
    let fields: Map<_, _> = fields.as_object().cloned().unwrap_or_default();
    let mut config = ModelConfig::from_json(&fields, &gguf.file)?;
    config.rope_scaling = rope::scaling(gguf, &config)?;
    Ok(config)
}

/// The keys of one architecture.
struct Metadata<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
}

impl Metadata<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.gguf.size(&self.key(name))
    }

    fn need(&self, name: &str) -> Result<u64> {
        self.size(name)?.ok_or_else(|| self.gguf.missing(&self.key(name)))
    }

    fn refuse_unsupported(&self) -> Result<()> {
        let wrong =
            |name: &str, problem: String| -> Result<()> { Err(self.gguf.wrong(&self.key(name), problem)) };
        // Mixture of experts.
        if let Some(experts) = self.size("expert_count")?.filter(|&n| n > 0) {
            return wrong(
                "expert_count",
                format!("a mixture of {experts} experts is not supported"),
            );
        }
        // Scaling of the rotary embedding, except that of Llama 3, which is a tensor.
        if let Some(kind) = self
            .gguf
            .text(&self.key("rope.scaling.type"))?
            .filter(|&kind| kind != "none")
        {
            return wrong(
                "rope.scaling.type",
                format!("`{kind}` is not supported; supported is none"),
            );
        }
        // Heads that are rotated in part, or whose values have another width.
        let (keys, rotated) = (
            self.size("attention.key_length")?,
            self.size("rope.dimension_count")?,
        );
        let values = self.size("attention.value_length")?;
        let usual = self.need("embedding_length")? / self.need("attention.head_count")?.max(1);
        let head_dim = keys.unwrap_or(usual);
        for (name, size) in [
            ("rope.dimension_count", rotated),
            ("attention.value_length", values),
        ] {
            if let Some(size) = size.filter(|&size| size != head_dim) {
                return wrong(
                    name,
                    format!("{size} is not supported; supported is the width of a head, {head_dim}"),
                );
            }
        }
        Ok(())
    }
}
