//! Facts about a run for the users of its model: where it began, with what data and settings, and
//! its scores.

use super::config::TrainConfig;
use super::report::TrainReport;
use super::step::StepReport;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::model::{Counted, DataFile, Model, Training};
use serde_json::{Map, Value};

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

/// The settings that change what is learnt, and differ from the default.
fn settings(config: &TrainConfig) -> Result<Map<String, Value>> {
    let default = TrainConfig::default().learnt()?;
    let mut own = config.learnt()?;
    own.retain(|name, value| default.get(name) != Some(value));
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_matter_and_differ_are_told() {
        let config = TrainConfig {
            learning_rate: 1e-3,
            early_stopping_patience: Some(2),
            eval_ratio: Some(0.1),
            save_steps: Some(3),
            output_dir: Some("/somewhere".into()),
            resume_from_checkpoint: Some("/somewhere".into()),
            run_name: Some("mine".into()),
            wandb_project: Some("mine".into()),
            wandb_entity: Some("me".into()),
            wandb_run_id: Some("mine".into()),
            logging_dir: Some("/somewhere".into()),
            logging_steps: 1,
            ..TrainConfig::default()
        };
        let told = settings(&config).unwrap();
        let expected = serde_json::json!({"learning_rate": 1e-3, "early_stopping_patience": 2});
        assert_eq!(Value::Object(told), expected);
    }
}
