//! Display of a model: its origin, shape and size.

use super::Html;
use super::style::{figures_table, figures_text, grouped};
use crate::model::Model;
use crate::weights::Weights;
use maud::Markup;
use std::fmt;

/// Returns name and value of each figure.
fn figures(model: &Model) -> Vec<(&'static str, String)> {
    let config = &model.decoder.config;
    let parameters = model.decoder.weights.len();
    let kind = match model.decoder.weights {
        Weights::Full(_) => "as f32",
        Weights::Frozen(_) => "packed",
    };
    let heads = format!(
        "{} heads ({} for keys and values)",
        config.num_attention_heads, config.num_key_value_heads
    );
    let mut figures = vec![
        ("loaded from", model.origin.clone()),
        ("architecture", config.model_type.clone()),
        (
            "parameters",
            format!(
                "{} ({:.2} GB {kind})",
                grouped(parameters),
                model.decoder.weights.bytes() as f64 * 1e-9
            ),
        ),
        (
            "blocks",
            format!(
                "{}, {} wide, {heads}",
                config.num_hidden_layers,
                grouped(config.hidden_size)
            ),
        ),
        ("vocabulary", format!("{} tokens", grouped(config.vocab_size))),
        (
            "context",
            format!("{} tokens", grouped(config.max_position_embeddings)),
        ),
    ];
    if let Some(adapter) = &model.decoder.adapter {
        let (r, trained) = (adapter.config.r, grouped(adapter.parameters.len()));
        figures.push(("adapter", format!("LoRA of rank {r}, {trained} parameters")));
    }
    figures.extend(model.notes.iter().map(|note| ("note", note.clone())));
    figures
}

impl Html for Model {
    fn html(&self) -> Markup {
        figures_table(figures(self))
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&figures_text(figures(self)))
    }
}
