//! The rows to train on, and those to measure on.

use crate::dataset::{self, DatasetArguments, load_all};
use crate::output::note;
use std::path::PathBuf;
use toolcall_lib::data_source::DataSource;
use toolcall_lib::dataset::Dataset;
use toolcall_lib::synthetic::{self, Lists};
use toolcall_lib::train::settings::{Evaluated, Inputs};
use toolcall_lib::{Error, Result, ToolSchema};

/// Flags that name rows.
#[derive(clap::Args)]
pub(super) struct RowArguments {
    /// Conversations to train on: files (JSON, JSONL, Parquet, CSV), or hub:owner/name,
    /// hub:owner/name:split or hub:owner/name:config:split; several are put together. Without any,
    /// the rows of the recipe's mixture are made, as `toolcall data` makes them
    #[arg(long, num_args = 1..)]
    pub(super) data: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) dataset: DatasetArguments,
    /// Conversations on which the model is measured while it trains: the loss, and how many it
    /// calls right
    #[arg(long)]
    pub(super) validation: Option<PathBuf>,
}

impl RowArguments {
    /// Loads the rows to train on and those to measure on: from the named sources, or made for the
    /// mixture.
    pub(super) fn load(
        &self,
        inputs: &Inputs,
        mixture: impl FnOnce() -> Result<&'static str>,
        show: bool,
    ) -> Result<(Dataset, Dataset)> {
        let sources = self.dataset.sources(&self.data, inputs)?;
        let tools = self.dataset.tools.load()?;
        let validation = match &self.validation {
            Some(file) => dataset::load(file, &tools)?,
            None => validation(&sources, inputs, &tools, show)?,
        };
        if show {
            self.note_validation(inputs);
        }
        if !sources.is_empty() {
            return Ok((load_all(&sources, &tools, inputs.max_samples)?, validation));
        }
        let mixture = mixture()?;
        let made = synthetic::make(&Lists::embedded()?, mixture, None, synthetic::SEED)?;
        Ok((made.data, validation))
    }

    /// Notes what is measured where the command line and the settings both name data.
    fn note_validation(&self, inputs: &Inputs) {
        let of_settings = self.validation.is_none() && !inputs.validation.is_empty();
        if of_settings && !self.data.is_empty() {
            let places = inputs.validation.iter().map(|source| source.place.to_string());
            let places: Vec<String> = places.collect();
            note(format!(
                "the validation set is that of the settings: {}",
                places.join(", ")
            ));
        }
        let is_named = of_settings || self.validation.is_some();
        if let Some(split) = inputs.test_split().filter(|_| is_named) {
            note(format!(
                "dataset_test_split: the split {split} is not measured, because a validation set is named"
            ));
        }
    }
}

/// Loads the validation set that settings name, or the split of the data to measure on.
fn validation(data: &[DataSource], inputs: &Inputs, tools: &[ToolSchema], show: bool) -> Result<Dataset> {
    let part = |split: &String| {
        let of_source = |source: &DataSource| DataSource {
            split: Some(split.clone()),
            ..source.clone()
        };
        data.iter().map(of_source).collect::<Vec<_>>()
    };
    let (evaluated, without) = match (inputs.test_split(), inputs.evaluated) {
        _ if !inputs.validation.is_empty() => return load_all(&inputs.validation, tools, None),
        (Some(split), _) => return load_all(&part(split), tools, None),
        (None, None | Some(Evaluated::No)) => return Ok(Dataset::default()),
        _ if inputs.validation_share.is_some() => return Ok(Dataset::default()), // held out of the data
        (None, Some(evaluated @ Evaluated::ByStrategy)) => match usual_split(data, tools)? {
            Some(split) => return Ok(split),
            None => (evaluated, " and the data has no split `test`"),
        },
        (None, Some(evaluated)) => (evaluated, ""),
    };
    if show {
        note(format!(
            "{evaluated}: nothing is measured, because no validation set is named{without}; give --validation, or \
             hold rows out with `val_set_size`"
        ));
    }
    Ok(Dataset::default())
}

/// Loads the split that TRL measures on if none is named; `None` if not all data sets have it.
fn usual_split(data: &[DataSource], tools: &[ToolSchema]) -> Result<Option<Dataset>> {
    let mut found = Dataset::default();
    for source in data {
        let source = DataSource {
            tools: tools.to_vec(),
            ..source.clone()
        };
        match source.load_split(Evaluated::USUAL_SPLIT)? {
            Some(split) => found.extend(split),
            None => return Ok(None),
        }
    }
    Ok((!data.is_empty()).then_some(found))
}

/// Removes duplicate rows.
pub(super) fn without_repeated(data: Dataset, show: bool) -> Dataset {
    let different = data.dedup();
    let left_out = data.rows.len() - different.rows.len();
    if show && left_out > 0 {
        note(format!("{left_out} duplicate rows are left out"));
    }
    different
}

/// Holds a part of the data out for validation, if one is wanted and no file was given.
pub(super) fn hold_out(
    data: Dataset,
    validation: Dataset,
    inputs: &Inputs,
    seed: u64,
) -> Result<(Dataset, Dataset)> {
    let Some(share) = inputs.validation_share.filter(|_| validation.rows.is_empty()) else {
        return Ok((data, validation));
    };
    let rows = data.rows.len() as f64;
    let share = if share < 1.0 { share } else { share / rows };
    if share >= 1.0 {
        let problem = format!("{} rows are wanted for it, and there are {rows}", share * rows);
        return Err(Error::invalid("validation set", problem));
    }
    data.split(share, seed)
}
