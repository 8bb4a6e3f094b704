//! A run whose ranks are threads of this process, one for each GPU.

use super::prepare::Job;
use super::report::TrainReport;
use super::step::StepReport;
use crate::collective::threads;
use crate::error::{Error, Result};
use crate::model::Model;
use std::thread;
use std::time::Duration;

impl Job<'_> {
    /// Trains on as many ranks as there are GPUs. The first rank is this thread, and `model` is its
    /// model; the others train copies, which are dropped at the end.
    pub(super) fn run_on_threads(
        &self,
        ranks: usize,
        model: &mut Model,
        on_step: impl FnMut(&StepReport),
    ) -> Result<TrainReport> {
        let mut ranks = threads(ranks, Duration::from_secs(self.config.ddp_timeout))?.into_iter();
        let first = ranks
            .next()
            .ok_or_else(|| Error::invalid("devices", "there is no rank"))?;
        thread::scope(|scope| {
            let others: Vec<_> = ranks
                .map(|ranks| {
                    let mut model = model.clone();
                    scope.spawn(move || self.run(&*ranks, &mut model, |_| {}).map(drop))
                })
                .collect();
            let report = self.run(&*first, model, on_step);
            drop(first); // where it has failed, the others see that it has gone
            let mut failed = Vec::new();
            for (rank, other) in (1..).zip(others) {
                let outcome = other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                failed.extend(outcome.err().map(|error| {
                    let blames = blames_another(&error);
                    (blames, Error::invalid(format!("rank {rank}"), error))
                }));
            }
            failed.sort_by_key(|(blames, _)| *blames);
            match (report, failed.into_iter().next()) {
                (Err(error), Some((false, other))) if blames_another(&error) => Err(other),
                (Ok(_), Some((_, other))) => Err(other),
                (report, _) => report,
            }
        })
    }
}

/// Returns true if a rank has only failed because another has, whose name its error begins with.
fn blames_another(error: &Error) -> bool {
    error.to_string().starts_with("rank ")
}
