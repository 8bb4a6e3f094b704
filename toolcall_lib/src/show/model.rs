//! A model in a few figures.

use super::Html;
use super::style::{figures_table, figures_text, grouped};
use crate::model::Model;
use maud::Markup;
use std::fmt;

/// Name and value of each figure.
fn figures(model: &Model) -> Vec<(&'static str, String)> {
    let config = &model.decoder.config;
    let parameters = model.decoder.parameters.len();
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
                "{} ({:.2} GB as f32)",
                grouped(parameters),
                parameters as f64 * 4e-9
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
