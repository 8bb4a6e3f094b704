//! The preparation of a run: all that happens before its first step.

use super::between_steps::Run;
use super::checkpoints;
use super::config::TrainConfig;
use super::engine::EngineFactory;
use super::identity::Identity;
use super::order::Order;
use super::predict::{OnAnswer, Predictor};
use super::ranks::{check_same_run, first_decides};
use super::report::TrainReport;
use super::rows::{Rows, Set, sequences};
use super::state::TrainerState;
use crate::collective::{Collective, Shard};
use crate::dataset::Dataset;
use crate::error::{Error, Result, counted, tell};
use crate::model::Model;
use crate::optimizer::zero;

/// All that the ranks of a run have in common.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub data: &'a Dataset,
    pub validation: &'a Dataset,
    pub config: &'a TrainConfig,
    pub engine_factory: &'a dyn EngineFactory,
    pub on_answer: Option<OnAnswer<'a>>,
}

impl Job<'_> {
    /// Prepares the run of one rank. Also returns the report that it will fill.
    ///
    /// # Errors
    /// Settings, rows, checkpoints and folders that the run cannot begin with.
    pub fn prepare<'a>(
        &'a self,
        ranks: &'a dyn Collective,
        model: &'a mut Model,
    ) -> Result<(Run<'a>, TrainReport)> {
        let config = self.config;
        config.check()?;
        // 1. The output folder, before any work that could not be kept.
        let output = first_decides(ranks, || checkpoints::open(config))?.flatten();
        // 2. Conversations become token sequences, in the order in which they are trained.
        let Rows {
            beginnings,
            sequences: rows,
            too_long,
            not_trained,
        } = sequences(model, self.data, Set::Training, config)?;
        let validation = sequences(model, self.validation, Set::Validation, config)?.sequences;
        if validation.is_empty() {
            config.refuse_best_model()?;
        }
        let on_answer = self.on_answer.filter(|_| ranks.rank() == 0);
        let predictor = Predictor::new(self.validation, config, on_answer)?;
        if rows.is_empty() {
            return Err(Error::invalid("data", "there is no conversation to train on"));
        }
        let order = Order::new(&beginnings, config, ranks.size())?;
        // 3. Weights and optimizer state, those of a checkpoint if it resumes one.
        adapt(model, config)?;
        let shard = zero::shard(ranks.shard(), config.zero_stage);
        let identity = Identity::new(model, &rows, config, order.batch())?;
        let (state, notes) = first_state(ranks, model, config, &identity, shard)?;
        check_same_run(ranks, model, &rows, config)?;
        let mut report = TrainReport {
            rows_left_out: too_long,
            rows_not_trained: not_trained,
            ranks: ranks.size(),
            metric_for_best_model: config.metric_for_best_model,
            ..TrainReport::default()
        };
        let unused = model.template.unused(&config.chat_template_kwargs);
        note(ranks, &mut report, notes.into_iter().chain(unused));
        // 4. The engine, on a GPU where it can be.
        let (engine, refusal) = self
            .engine_factory
            .make(ranks, &model.decoder, &state.optimizer, config)?;
        report.no_gpu = refusal.map(|error| error.to_string());
        let run = Run {
            ranks,
            config,
            model,
            rows,
            validation,
            predictor,
            order,
            state,
            engine,
            identity,
            output,
        };
        Ok((run, report))
    }
}

/// Prints a note for the user, and adds it to the report.
pub(super) fn note(
    ranks: &dyn Collective,
    report: &mut TrainReport,
    notes: impl IntoIterator<Item = String>,
) {
    for text in notes {
        if ranks.rank() == 0 {
            tell(format!("note: {text}"));
        }
        report.notes.push(text);
    }
}

/// Begins before the first step, or at the checkpoint that `config` names. Also returns notes for
/// the user, such as differences from the run of the checkpoint.
fn first_state(
    ranks: &dyn Collective,
    model: &mut Model,
    config: &TrainConfig,
    identity: &Identity,
    shard: Shard,
) -> Result<(TrainerState, Vec<String>)> {
    let decoder = &mut model.decoder;
    let Some(path) = &config.resume_from_checkpoint else {
        let folder = config.output_dir.as_deref().filter(|_| ranks.rank() == 0);
        let notes = folder.map_or(Ok(None), checkpoints::begins_anew)?;
        return Ok((
            TrainerState::new(decoder, config, shard)?,
            notes.into_iter().collect(),
        ));
    };
    let folder = checkpoints::find(path)?;
    first_decides(ranks, || checkpoints::verify(&folder))?;
    let (mut state, before) = TrainerState::load(&folder, decoder, config, shard)?;
    let without_best = state.begin_best(decoder, config)?;
    let from = format!(
        "resuming from {}, after {}",
        folder.display(),
        counted(state.steps.len(), "step")
    );
    let differs = identity.differences(&before);
    let notes = [from].into_iter().chain(differs).chain(without_best);
    Ok((state, notes.collect()))
}

/// Gives the model the adapter that `config` asks for; one that it has is trained on.
fn adapt(model: &mut Model, config: &TrainConfig) -> Result<()> {
    let layers = model.decoder.config.num_hidden_layers;
    let wanted = config
        .lora
        .clone()
        .map(|lora| lora.of_layers(layers))
        .transpose()?;
    match (&wanted, &model.decoder.adapter) {
        (Some(lora), None) => model.add_adapter(lora.clone(), config.seed),
        (Some(lora), Some(adapter)) if *lora != adapter.config => {
            let advice = "call merge() first, or leave `lora` out to continue its training";
            let problem = format!("the model has an adapter with other settings; {advice}");
            Err(Error::invalid("lora", problem))
        }
        _ => Ok(()),
    }
}
