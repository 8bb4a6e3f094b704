//! Answers the validation rows with the model while it trains.

use super::config::TrainConfig;
use super::step::EvalScores;
use crate::collective::Collective;
use crate::conversation::Conversation;
use crate::dataset::Dataset;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::{Answers, EvaluateConfig, Evaluation, Score, evaluate};
use crate::generate::{GenerateConfig, PrefixCache};
use crate::model::Model;
use std::fmt;

/// Bytes of keys and values. A run has little memory to spare.
pub(super) const CACHE_BYTES: usize = 512 << 20;

/// A function that is called with the number of validation rows that the first rank has answered so
/// far, and with the number that it answers.
#[derive(Clone, Copy)]
pub struct OnAnswer<'a>(pub &'a (dyn Fn(usize, usize) + Sync));

impl fmt::Debug for OnAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnAnswer")
    }
}

/// The validation rows that are answered, on all ranks.
#[derive(Debug)]
pub(super) struct Predictor<'a> {
    rows: Vec<&'a Conversation>,
    /// Settings of the answers, but for the device.
    generate: GenerateConfig,
    on_answer: Option<OnAnswer<'a>>,
}

impl<'a> Predictor<'a> {
    /// Chooses the rows that `config` wants answered. Returns `None` if it wants none, or if no row
    /// has an assistant turn that counts.
    ///
    /// # Errors
    /// No row has what [`TrainConfig::metric_for_best_model`] counts.
    pub fn new(
        validation: &'a Dataset,
        config: &TrainConfig,
        on_answer: Option<OnAnswer<'a>>,
    ) -> Result<Option<Self>> {
        let rows = validation.rows.iter();
        let rows: Vec<&Conversation> = rows.filter(|row| first_turn(row).is_some()).collect();
        if !config.predict_with_generate || rows.is_empty() {
            return Ok(None);
        }
        let rows = spread(&rows, config.max_predict_samples.unwrap_or(usize::MAX));
        let with_call = rows.iter().filter(|row| first_turn(row) == Some(true)).count();
        let metric = config.metric_for_best_model;
        if metric.needs(true) && with_call == 0 || metric.needs(false) && with_call == rows.len() {
            let (which, metric) = (if metric.needs(true) { "with" } else { "without" }, metric);
            let problem = format!(
                "{metric} counts only rows {which} a call, but no answered validation row is one; add \
                    such rows or choose another metric"
            );
            return Err(Error::invalid("metric_for_best_model", problem));
        }
        Ok(Some(Self {
            rows,
            generate: GenerateConfig {
                max_new_tokens: config.generation_max_new_tokens,
                chat_template_kwargs: config.chat_template_kwargs.clone(),
                ..EvaluateConfig::default().generate
            },
            on_answer,
        }))
    }

    /// Asks `model` the rows; each rank takes some of them. Returns `None` if the user of
    /// some rank has asked to stop.
    pub fn scores(
        &self,
        model: &Model,
        mut cache: PrefixCache,
        device: Device,
        ranks: &dyn Collective,
    ) -> Result<Option<EvalScores>> {
        let own = self.rows.iter().skip(ranks.rank()).step_by(ranks.size());
        let own: Vec<Conversation> = own.map(|&row| row.clone()).collect();
        let config = EvaluateConfig {
            generate: GenerateConfig {
                device,
                ..self.generate.clone()
            },
            whole_dialogue: false,
        };
        let mut answered = 0;
        let mut on_reply = || {
            answered += 1;
            if let Some(OnAnswer(tell)) = self.on_answer {
                tell(answered, own.len());
            }
        };
        let answers = Answers {
            cache: Some(&mut cache),
            on_reply: Some(&mut on_reply),
            ..model.into()
        };
        let evaluation = evaluate(answers, &own, &config)?;
        let complete = evaluation.rows == own.len();
        sum(&evaluation, complete, ranks)
    }
}

/// Returns the scores of all ranks together; `None` if one of them was interrupted.
fn sum(own: &Evaluation, complete: bool, ranks: &dyn Collective) -> Result<Option<EvalScores>> {
    let scores = [
        own.exact,
        own.arguments_exact,
        own.tool_selection,
        own.over_calls,
        own.unfinished,
    ];
    let [counts, totals] = [|score: Score| score.count, |score: Score| score.total]
        .map(|of| ranks.sum(scores.map(|score| of(score) as f64)));
    let (counts, totals) = (counts?, totals?);
    let [interrupted] = ranks.sum([f64::from(!complete)])?;
    let scores = std::array::from_fn(|i| Score {
        count: counts[i] as usize,
        total: totals[i] as usize,
    });
    Ok((interrupted == 0.0).then(|| EvalScores::of(scores)))
}

/// Returns true if the first turn of a row that counts calls a tool; `None` if none counts.
fn first_turn(row: &Conversation) -> Option<bool> {
    let turn = row.trained_turns().next()?;
    Some(!row.messages[turn].tool_calls.is_empty())
}

/// Returns at most `most` of the rows, from all over them: files are often sorted.
fn spread<'a>(rows: &[&'a Conversation], most: usize) -> Vec<&'a Conversation> {
    let count = rows.len().min(most);
    (0..count).map(|i| rows[i * rows.len() / count]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::metric::Metric;
    use super::*;
    use crate::conversation::Message;
    use crate::tool::ToolCall;
    use serde_json::{Map, json};

    fn turn(calls: bool, train: bool) -> Message {
        let turn = match calls {
            true => Message::assistant_calls(vec![ToolCall::new("timer", json!({})).unwrap()]),
            false => Message::assistant("Hi."),
        };
        Message { train, ..turn }
    }

    fn row(turns: &[Message]) -> Conversation {
        let asked = turns
            .iter()
            .flat_map(|turn| [Message::user("Go on."), turn.clone()]);
        Conversation {
            messages: asked.collect(),
            ..Conversation::default()
        }
    }

    #[test]
    fn only_turns_that_are_trained_count() {
        let config = TrainConfig {
            metric_for_best_model: Metric::EvalToolSelection,
            chat_template_kwargs: Map::from_iter([("enable_thinking".to_string(), json!(true))]),
            ..TrainConfig::default()
        };
        let untrained = row(&[turn(true, false)]);
        let calls_later = row(&[turn(false, false), turn(true, true)]);
        // 1. A row of which nothing counts is not asked: `evaluate` would refuse it during the run.
        let data = Dataset::from(vec![untrained.clone(), calls_later.clone()]);
        let chosen = Predictor::new(&data, &config, None).unwrap().unwrap();
        assert_eq!(chosen.rows, [&calls_later]);
        // The model is asked with the variables that it is trained with.
        assert_eq!(chosen.generate.chat_template_kwargs, config.chat_template_kwargs);
        let data = Dataset::from(vec![untrained]);
        assert!(Predictor::new(&data, &config, None).unwrap().is_none());
        // 2. A call of a turn that is not trained does not count in any metric.
        let data = Dataset::from(vec![row(&[turn(true, false), turn(false, true)])]);
        let problem = Predictor::new(&data, &config, None).unwrap_err().to_string();
        assert!(problem.contains("counts only rows with a call"), "{problem}");
    }
}
