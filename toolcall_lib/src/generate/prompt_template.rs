//! The template of a prompt: one rule for every place that renders one.

use super::GenerateConfig;
use crate::model::Model;
use crate::template::ChatTemplate;
use serde_json::{Map, Value};

/// Returns the model's template with the variables of the settings, and those of a row of the
/// dataset, which override them.
pub(crate) fn prompt_template(
    model: &Model,
    config: &GenerateConfig,
    of_row: &Map<String, Value>,
) -> ChatTemplate {
    let mut template = model.template.with_kwargs(&config.chat_template_kwargs);
    template.kwargs.extend(of_row.clone());
    template
}
