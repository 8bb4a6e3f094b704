//! Facts about a run for those who get its model: where it began, with what data and settings, and
//! its scores.

use super::config::TrainConfig;
use super::report::TrainReport;
use super::step::StepReport;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::model::{Counted, DataFile, Model, Training};
use serde_json::{Map, Value};

/// Settings that say where and how the work is done, not what is learnt. A run that goes on
/// elsewhere tells the same.
const ASIDE: [&str; 11] = [
    "device",
    "devices",
    "recompute",
    "max_tokens_per_tree",
    "zero_stage",
    "ddp_timeout",
    "eval_steps",
    "output_dir",
    "save_steps",
    "save_total_limit",
    "resume_from_checkpoint",
];

/// Facts that are known before the first step.
pub(super) fn training(model: &Model, data: &Dataset, config: &TrainConfig) -> Result<Training> {
    Ok(Training {
        base_model: model.base_name(),
        data: files(data),
        settings: settings(config)?,
        scores: Vec::new(),
    })
}

/// The scores of the model that a run ends with.
pub(super) fn scores(report: &TrainReport) -> Vec<Counted> {
    let last = report.model_of_step.unwrap_or(report.steps.len());
    let step = report.steps.get(..last).and_then(<[StepReport]>::last);
    let Some(scores) = step.and_then(|step| step.eval_scores) else {
        return Vec::new();
    };
    let counted = scores.named().into_iter().filter(|(_, score)| score.total > 0);
    counted
        .map(|(name, score)| Counted {
            name: name.to_string(),
            count: score.count,
            total: score.total,
        })
        .collect()
}

/// The files of the rows, in their order.
fn files(data: &Dataset) -> Vec<DataFile> {
    let mut files: Vec<DataFile> = Vec::new();
    for (index, row) in data.rows.iter().enumerate() {
        let name = data.file_name(index);
        let place = files.iter().position(|file| file.file == name);
        let place = place.unwrap_or_else(|| {
            files.push(DataFile {
                file: name,
                ..DataFile::default()
            });
            files.len() - 1
        });
        let calls = row.messages.iter().map(|message| message.tool_calls.len());
        let calls: Vec<usize> = calls.filter(|&calls| calls > 0).collect();
        let file = &mut files[place];
        file.rows += 1;
        file.without_call += usize::from(calls.is_empty());
        file.several_calls += usize::from(calls.iter().any(|&calls| calls > 1));
        file.several_turns += usize::from(calls.len() > 1 && calls.iter().all(|&calls| calls == 1));
    }
    files
}

fn settings(config: &TrainConfig) -> Result<Map<String, Value>> {
    let unreadable = Error::library("telling the settings");
    let map = |config: &TrainConfig| -> serde_json::Result<Map<String, Value>> {
        serde_json::from_str(&serde_json::to_string(config)?) // numbers as a file has them
    };
    let all = map(config).and_then(|own| Ok((own, map(&TrainConfig::default())?)));
    let (mut own, default) = all.map_err(unreadable)?;
    own.retain(|name, value| !ASIDE.contains(&name.as_str()) && default.get(name) != Some(value));
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_matter_and_differ_are_told() {
        let config = TrainConfig {
            learning_rate: 1e-3,
            save_steps: Some(3),
            output_dir: Some("/somewhere".into()),
            ..TrainConfig::default()
        };
        let told = settings(&config).unwrap();
        assert_eq!(Value::Object(told), serde_json::json!({"learning_rate": 1e-3}));
    }
}
