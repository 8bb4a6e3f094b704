//! Scores of a model before it is written, and of what was written.

use super::super::INTERRUPTED;
use super::super::model::show_notes;
use super::super::output::print;
use super::super::progress::score_with_bar;
use super::llama;
use std::path::Path;
use std::process::ExitCode;
use toolcall_lib::evaluate::{EvaluateConfig, Evaluation};
use toolcall_lib::show::compare;
use toolcall_lib::{Dataset, Dtype, Error, Model, Result, load};

/// The rows of a check.
pub struct Check {
    data: Dataset,
    config: EvaluateConfig,
}

/// Rows whose call may get lost where the user says nothing.
///
/// In f32 every bit is kept, and so is every reply. Rounding to 8 bits and more only changes a
/// reply where two tokens are almost equally likely; 4 bits change the model itself.
pub fn tolerance(dtype: Dtype, before: &Evaluation) -> usize {
    let rows = before.tool_selection.total;
    match dtype {
        Dtype::F32 => 0,
        Dtype::Bf16 | Dtype::F16 | Dtype::Q8_0 => rows.div_ceil(100),
        Dtype::Q4_0 | Dtype::Q4KM | Dtype::Auto => rows.div_ceil(20),
    }
}

impl Check {
    pub fn read(data: &Path) -> Result<Self> {
        let (data, config) = (Dataset::load(data)?, EvaluateConfig::default());
        Ok(Self { data, config })
    }

    /// The scores that `toolcall eval` counts.
    pub fn score(&self, model: &Model) -> Result<Evaluation> {
        show_notes(&self.data, model);
        score_with_bar(model, &self.data.rows, &self.config)
    }

    /// Nobody has stopped it.
    pub fn is_complete(&self, scores: &Evaluation) -> bool {
        scores.rows == self.data.rows.len()
    }

    /// Scores what was written to `out`, in our decoder and, where there is one, in llama.cpp.
    ///
    /// # Errors
    /// More calls are lost than `tolerance`, or something cannot be read or run.
    pub fn again(
        &self,
        out: &Path,
        before: &Evaluation,
        tolerance: usize,
        python: Option<&Path>,
    ) -> Result<ExitCode> {
        let model = load(&out.to_string_lossy())?;
        let after = score_with_bar(&model, &self.data.rows, &self.config)?;
        let elsewhere = python
            .map(|python| self.in_llama(python, out, &model))
            .transpose()?;
        let all: Vec<(&str, &Evaluation)> = [("in memory", before), ("exported", &after)]
            .into_iter()
            .chain(elsewhere.iter().map(|scores| ("in llama.cpp", scores)))
            .collect();
        print(compare(&all))?;
        for (name, scores) in &all[1..] {
            let differ = before.replies_that_differ(scores);
            print(format!(
                "{name}: {differ} of {} rows have another reply",
                scores.rows
            ))?;
        }
        if all.iter().any(|(_, scores)| !self.is_complete(scores)) {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        refuse_losses(out, before, &after, tolerance)?;
        Ok(ExitCode::SUCCESS)
    }

    fn in_llama(&self, python: &Path, gguf: &Path, model: &Model) -> Result<Evaluation> {
        llama::score(python, gguf, model, &self.data.rows, &self.config)
    }
}

fn refuse_losses(out: &Path, before: &Evaluation, after: &Evaluation, tolerance: usize) -> Result<()> {
    let counts = [
        ("exact calls", before.arguments_exact, after.arguments_exact),
        ("right tools", before.tool_selection, after.tool_selection),
    ];
    let lost = counts
        .iter()
        .filter(|(_, before, after)| after.count + tolerance < before.count);
    let lost: Vec<String> = lost
        .map(|(name, before, after)| format!("{name} fall from {} to {}", before.count, after.count))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let rows = before.tool_selection.total;
    let problem = format!(
        "calls are lost: {} of {rows} rows with a call, but only {tolerance} may be lost; take a --dtype with \
            more bits, or allow more with --tolerance",
        lost.join(", and ")
    );
    Err(Error::invalid(out.display(), problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use toolcall_lib::evaluate::Score;

    fn scores(exact: usize, tools: usize) -> Evaluation {
        let of = |count| Score { count, total: 50 };
        Evaluation {
            arguments_exact: of(exact),
            tool_selection: of(tools),
            ..Evaluation::default()
        }
    }

    #[test]
    fn calls_that_are_lost_are_refused_beyond_the_tolerance() {
        let before = scores(40, 48);
        let refusal = |exact, tools, tolerance| {
            let outcome = refuse_losses(Path::new("out.gguf"), &before, &scores(exact, tools), tolerance);
            outcome.err().map(|error| error.to_string())
        };
        assert_eq!(refusal(40, 48, 0), None);
        assert_eq!(refusal(45, 50, 0), None, "more are no loss");
        assert_eq!(refusal(39, 48, 1), None);
        let said = refusal(39, 48, 0).unwrap();
        assert!(
            said.contains("out.gguf: calls are lost: exact calls fall from 40 to 39 of 50 rows"),
            "{said}"
        );
        let said = refusal(37, 46, 1).unwrap();
        assert!(said.contains("and right tools fall from 48 to 46"), "{said}");
    }

    #[test]
    fn fewer_bits_may_lose_more() {
        let before = scores(40, 48);
        let allowed =
            [Dtype::F32, Dtype::F16, Dtype::Q8_0, Dtype::Q4_0].map(|dtype| tolerance(dtype, &before));
        assert_eq!(allowed, [0, 1, 1, 3]);
    }
}
