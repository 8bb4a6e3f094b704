//! The model and the data of a run, and where its result goes.

use super::push::Push;
use crate::data_source::DataSource;
use crate::weights::Dtype;

/// The model and the data of a run and where its result goes, as far as they were named.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    /// A folder, a file or a hub id.
    pub model: Option<String>,
    /// In what its weights are held.
    pub dtype: Option<Dtype>,
    /// Conversations to train on.
    pub data: Vec<DataSource>,
    /// Config of the data set, if it has several.
    pub dataset_config: Option<String>,
    /// Split of the data set that is trained on.
    pub dataset_split: Option<String>,
    /// Split of the data set that is measured on.
    pub dataset_test_split: Option<String>,
    /// Rows of each source that are trained; none: all.
    pub max_samples: Option<usize>,
    /// Conversations to measure on.
    pub validation: Vec<DataSource>,
    /// Without any: the share of the data that is held out for it; from 1 on, the number of
    /// rows.
    pub validation_share: Option<f64>,
    /// Repository to which the saved model is pushed.
    pub push: Push,
}

impl Inputs {
    /// These, with what `later` names instead.
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
            push: self.push.with(later.push),
        }
    }
}
