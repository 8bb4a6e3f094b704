//! The model and the data of a run, and where its result goes.

use super::push::Push;
use crate::data_source::DataSource;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::template::special_tokens;
use crate::weights::Dtype;
use serde_json::Value;
use std::fmt;

/// A checkpoint of `output_dir` to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// The latest; there has to be one.
    Latest,
    /// The latest, if there is one; else the one that `resume_from_checkpoint` names.
    LatestIfAny,
    /// The one that `resume_from_checkpoint` names, if it names one.
    Named,
}

/// A kind of input that a command line may name in place of files of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Conversations to train on, and a validation set that comes with them.
    Data,
    /// A config or a split of the data.
    Part,
    /// A validation set that is named on its own.
    Validation,
}

/// A setting that says whether the model is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluated {
    /// `eval_strategy: no`. No split is measured; one that is named stays so, for later settings
    /// that ask for evaluations again.
    No,
    /// Another `eval_strategy`. Where no validation set is named, the split
    /// [`Self::USUAL_SPLIT`] is measured.
    ByStrategy,
    /// `evals_per_epoch`.
    PerEpoch,
}

impl Evaluated {
    /// TRL's default of `dataset_test_split`.
    pub const USUAL_SPLIT: &str = "test";
}

impl fmt::Display for Evaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No | Self::ByStrategy => "eval_strategy",
            Self::PerEpoch => "evals_per_epoch",
        })
    }
}

/// The model and the data of a run and where its result goes, as far as they were named.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    /// A folder, a file or a hub id.
    pub model: Option<String>,
    /// Type in which its weights are held.
    pub dtype: Option<Dtype>,
    /// Conversations to train on.
    pub data: Vec<DataSource>,
    /// Config of the data set, if it has several.
    pub dataset_config: Option<String>,
    /// Split of the data set that is trained on.
    pub dataset_split: Option<String>,
    /// Split of the data set that is measured on.
    pub dataset_test_split: Option<String>,
    /// Rows of each source that are trained; `None`: all.
    pub max_samples: Option<usize>,
    /// Conversations to measure on.
    pub validation: Vec<DataSource>,
    /// True if `validation` came with `data`, as mlx-lm's `valid.jsonl` does. Other data replaces
    /// it, too.
    pub validation_of_data: bool,
    /// The setting that says whether the model is evaluated, if one does.
    pub evaluated: Option<Evaluated>,
    /// Share of the data to hold out for it, if none is named; from 1 on, the number of rows.
    pub validation_share: Option<f64>,
    /// True if only the first of equal rows is trained and measured.
    pub dedup: Option<bool>,
    /// The text of the token that ends a reply, which has to be the model's
    /// ([`Inputs::check_model`]).
    pub eos_token: Option<String>,
    /// Texts of other special tokens, such as `bos_token`, which have to be the model's as well.
    pub special_tokens: Vec<(String, String)>,
    /// Texts of tokens that end a turn, each of which has to end the model's replies.
    pub eot_tokens: Vec<String>,
    /// The checkpoint of `output_dir` to go on from ([`Settings::with_latest_checkpoint`]); none
    /// stands for the one that is named.
    ///
    /// [`Settings::with_latest_checkpoint`]: super::Settings::with_latest_checkpoint
    pub resume: Option<Resume>,
    /// True if these settings ask for [`Resume::LatestIfAny`], false if they take it back.
    pub auto_resume: Option<bool>,
    /// Repository to which the saved model is pushed.
    pub push: Push,
}

impl Inputs {
    /// Returns these, overridden by those that `later` names.
    pub(super) fn with(self, later: Self) -> Self {
        let is_replaced = self.validation_of_data && !later.data.is_empty();
        let (validation, validation_of_data) = match later.validation.is_empty() && !is_replaced {
            true => (self.validation, self.validation_of_data),
            false => (later.validation, later.validation_of_data),
        };
        let resume = match (later.auto_resume, self.resume) {
            (Some(true), _) => Some(Resume::LatestIfAny),
            (Some(false), Some(Resume::LatestIfAny)) => None,
            (_, resume) => resume,
        };
        Self {
            model: later.model.or(self.model),
            dtype: later.dtype, // decided by all settings, the earlier ones too
            data: or(later.data, self.data),
            dataset_config: later.dataset_config.or(self.dataset_config),
            dataset_split: later.dataset_split.or(self.dataset_split),
            dataset_test_split: later.dataset_test_split.or(self.dataset_test_split),
            max_samples: later.max_samples.or(self.max_samples),
            validation,
            validation_of_data,
            evaluated: later.evaluated.or(self.evaluated),
            validation_share: later.validation_share.or(self.validation_share),
            dedup: later.dedup.or(self.dedup),
            eos_token: later.eos_token.or(self.eos_token),
            special_tokens: or(later.special_tokens, self.special_tokens),
            eot_tokens: or(later.eot_tokens, self.eot_tokens),
            resume: later.resume.or(resume).filter(|resume| *resume != Resume::Named),
            auto_resume: None, // `resume` says it now
            push: self.push.with(later.push),
        }
    }

    /// Returns the split of the data to measure on, unless `eval_strategy` is `no`.
    pub fn test_split(&self) -> Option<&String> {
        let split = self.dataset_test_split.as_ref();
        split.filter(|_| self.evaluated != Some(Evaluated::No))
    }

    /// Refuses a model that has other special tokens than the settings say.
    ///
    /// # Errors
    /// `eos_token` or one of `eot_tokens` does not end the model's replies, or another token is not
    /// the model's.
    pub fn check_model(&self, model: &Model) -> Result<()> {
        let advice = "leave it out, or put it into the folder of the model";
        let ends = model.tokenizer.eos_tokens();
        let said = self.eos_token.iter().map(|token| ("eos_token", token));
        let mut said = said.chain(self.eot_tokens.iter().map(|token| ("eot_tokens", token)));
        if let Some((name, token)) = said.find(|(_, token)| !ends.contains(token)) {
            let ends = ends.join(", ");
            let problem = format!("is `{token}`, and the model's replies end with {ends}; {advice}");
            return Err(Error::invalid(name, problem));
        }
        let own = special_tokens(&model.tokenizer.config);
        let own = |name: &str| own.get(name).and_then(Value::as_str);
        let mut others = self.special_tokens.iter();
        match others.find(|(name, token)| own(name) != Some(token)) {
            None => Ok(()),
            Some((name, token)) => {
                let own = own(name).map_or("has none".to_string(), |own| format!("has `{own}`"));
                let problem = format!("is `{token}`, and the model {own}; {advice}");
                Err(Error::invalid(name, problem))
            }
        }
    }
}

/// Returns what the later settings name, or else what those before them do.
fn or<T>(later: Vec<T>, before: Vec<T>) -> Vec<T> {
    if later.is_empty() { before } else { later }
}
