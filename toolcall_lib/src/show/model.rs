//! A model in a few figures.

use super::Html;
use super::style::{figures_table, grouped, text_table};
use crate::model::Model;
use maud::{Markup, html};
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
        figures_table(
            &figures(self)
                .into_iter()
                .map(|(name, value)| (name, html! { (value) }))
                .collect::<Vec<_>>(),
        )
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |(name, value): (&'static str, String)| vec![name.to_string(), value];
        f.write_str(&text_table(
            &[],
            &figures(self).into_iter().map(row).collect::<Vec<_>>(),
        ))
    }
}
