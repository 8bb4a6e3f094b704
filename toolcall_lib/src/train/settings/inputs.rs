//! The model and the data of a run, and where its result goes.

use super::push::Push;
use crate::data_source::DataSource;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::weights::Dtype;

/// A checkpoint of `output_dir` to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// The latest; there has to be one.
    Latest,
    /// The latest, if there is one.
    LatestIfAny,
    /// The one that `resume_from_checkpoint` names, if it names one.
    Named,
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
    /// Share of the data to hold out for it, if none is named; from 1 on, the number of rows.
    pub validation_share: Option<f64>,
    /// True if only the first of equal rows is trained and measured.
    pub dedup: Option<bool>,
    /// The text of the token that ends a reply, which has to be the model's
    /// ([`Inputs::check_model`]).
    pub eos_token: Option<String>,
    /// The checkpoint of `output_dir` to go on from ([`Settings::with_latest_checkpoint`]).
    ///
    /// [`Settings::with_latest_checkpoint`]: super::Settings::with_latest_checkpoint
    pub resume: Option<Resume>,
    /// Repository to which the saved model is pushed.
    pub push: Push,
}

impl Inputs {
    /// Returns these, overridden by those that `later` names.
    pub(super) fn with(self, later: Self) -> Self {
        let or = |later: Vec<DataSource>, before| if later.is_empty() { before } else { later };
        Self {
            model: later.model.or(self.model),
            dtype: later.dtype.or(self.dtype),
            data: or(later.data, self.data),
            dataset_config: later.dataset_config.or(self.dataset_config),
            dataset_split: later.dataset_split.or(self.dataset_split),
            dataset_test_split: later.dataset_test_split.or(self.dataset_test_split),
            max_samples: later.max_samples.or(self.max_samples),
            validation: or(later.validation, self.validation),
            validation_share: later.validation_share.or(self.validation_share),
            dedup: later.dedup.or(self.dedup),
            eos_token: later.eos_token.or(self.eos_token),
            resume: later.resume.or(self.resume),
            push: self.push.with(later.push),
        }
    }

    /// Refuses a model whose replies end with other tokens than the settings say.
    ///
    /// # Errors
    /// `eos_token` is not one of the model's.
    pub fn check_model(&self, model: &Model) -> Result<()> {
        let ends = model.tokenizer.eos_tokens();
        match self.eos_token.as_ref().filter(|token| !ends.contains(token)) {
            None => Ok(()),
            Some(token) => {
                let ends = ends.join(", ");
                let advice = "leave it out, or put it into the folder of the model";
                let problem = format!("is `{token}`, and the model's replies end with {ends}; {advice}");
                Err(Error::invalid("eos_token", problem))
            }
        }
    }
}
