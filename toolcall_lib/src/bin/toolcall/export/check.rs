//! Scores a model before it is written and after it is read again.

use super::super::INTERRUPTED;
use super::super::model::show_notes;
use super::super::output::print;
use super::super::progress::score_with_bar;
use super::llama;
use std::path::Path;
use std::process::ExitCode;
use toolcall_lib::evaluate::{EvaluateConfig, Evaluation, MistakeKind};
use toolcall_lib::show::compare;
use toolcall_lib::{Conversation, Dataset, Dtype, Error, Model, Result, load};

/// The rows of a check.
pub struct Check {
    data: Dataset,
    config: EvaluateConfig,
}

/// Name of llama.cpp's column.
const IN_LLAMA: &str = "in llama.cpp";

/// Most rows that an error names.
const NAMED: usize = 5;

/// Number of rows that may lose their call.
#[derive(Clone, Copy)]
pub struct Tolerance {
    /// The number that the user gives.
    pub given: Option<usize>,
    /// Type of the exported weights.
    pub dtype: Dtype,
}

impl Tolerance {
    /// Returns the number in our decoder. In f32 every bit is kept, and so is every reply. Rounding
    /// to 8 bits and more only changes a reply where two tokens are almost equally likely; 4 bits
    /// change the model itself.
    fn here(self, rows: usize) -> usize {
        self.given.unwrap_or(match self.dtype {
            Dtype::F32 => 0,
            Dtype::Bf16 | Dtype::F16 | Dtype::Q8_0 => rows.div_ceil(100),
            Dtype::Q4_0 | Dtype::Q4KM | Dtype::Auto => rows.div_ceil(20),
        })
    }

    /// Returns the number in llama.cpp. It sums in another order and keeps keys and values in f16,
    /// so f32 is rounded too.
    fn in_llama(self, rows: usize) -> usize {
        self.given.unwrap_or(self.here(rows).max(rows.div_ceil(100)))
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

    /// Returns true if the user has not stopped the scoring.
    pub fn is_complete(&self, scores: &Evaluation) -> bool {
        scores.rows == self.data.rows.len()
    }

    /// Scores what was written to `out`, in our decoder and, where there is one, in llama.cpp.
    ///
    /// # Errors
    /// More calls are lost in one of them than `tolerance`, or something cannot be read or run.
    pub fn again(
        &self,
        out: &Path,
        before: &Evaluation,
        tolerance: Tolerance,
        python: Option<&Path>,
    ) -> Result<ExitCode> {
        let model = load(&out.to_string_lossy())?;
        let after = score_with_bar(&model, &self.data.rows, &self.config)?;
        let elsewhere = python
            .map(|python| self.in_llama(python, out, &model))
            .transpose()?;
        let rows = before.tool_selection.total;
        let [here, there] = [tolerance.here(rows), tolerance.in_llama(rows)];
        let written: Vec<(&str, &Evaluation, usize)> = [("exported", &after, here)]
            .into_iter()
            .chain(elsewhere.iter().map(|scores| (IN_LLAMA, scores, there)))
            .collect();
        let columns = written.iter().map(|(name, scores, _)| (*name, *scores));
        let columns: Vec<_> = [("in memory", before)].into_iter().chain(columns).collect();
        print(compare(&columns))?;
        for (name, scores, _) in &written {
            let differ = before.replies_that_differ(scores);
            print(format!(
                "{name}: {differ} of {} rows have another reply",
                scores.rows
            ))?;
        }
        if written.iter().any(|(_, scores, _)| !self.is_complete(scores)) {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let problems = written.iter().filter_map(|(name, scores, tolerance)| {
            let problem = too_many(&self.lost(before, scores), rows, *tolerance)?;
            Some(format!("{name}: {problem}"))
        });
        let problems: Vec<String> = problems.collect();
        match problems.is_empty() {
            true => Ok(ExitCode::SUCCESS),
            false => Err(Error::invalid(out.display(), problems.join("; "))),
        }
    }

    /// The rows whose first turn had its call before and has another or none after, each with its
    /// mistake. Rows that gained their call do not offset them.
    fn lost(&self, before: &Evaluation, after: &Evaluation) -> Vec<(usize, MistakeKind)> {
        let with_call = |row: usize| self.data.rows.get(row).is_some_and(begins_with_call);
        let mistakes = after.mistakes.iter().filter(|after| after.turn == 0);
        mistakes
            .filter(|after| with_call(after.row))
            .filter(|after| is_worse(first_mistake(before, after.row), after.kind))
            .map(|after| (after.row, after.kind))
            .collect()
    }

    fn in_llama(&self, python: &Path, gguf: &Path, model: &Model) -> Result<Evaluation> {
        llama::score(python, gguf, model, &self.data.rows, &self.config)
    }
}

/// Returns true if the row calls a tool in its first turn that counts.
fn begins_with_call(row: &Conversation) -> bool {
    let first = row.trained_turns().next();
    first.is_some_and(|turn| !row.messages[turn].tool_calls.is_empty())
}

/// The mistake in the first turn of a row.
fn first_mistake(scores: &Evaluation, row: usize) -> Option<MistakeKind> {
    let mut mistakes = scores.mistakes.iter();
    let found = mistakes.find(|mistake| mistake.row == row && mistake.turn == 0);
    found.map(|mistake| mistake.kind)
}

/// Returns true if a turn is no longer exact, or no longer has the right tools.
fn is_worse(before: Option<MistakeKind>, after: MistakeKind) -> bool {
    match before {
        None => true,
        Some(MistakeKind::WrongArguments) => after != MistakeKind::WrongArguments,
        Some(_) => false,
    }
}

/// The problem, if more calls are lost than may be.
fn too_many(lost: &[(usize, MistakeKind)], rows: usize, tolerance: usize) -> Option<String> {
    if lost.len() <= tolerance {
        return None;
    }
    let named = lost.iter().take(NAMED);
    let named: Vec<String> = named.map(|(row, kind)| format!("row {row} ({kind})")).collect();
    let more = if lost.len() > NAMED { ", …" } else { "" };
    Some(format!(
        "calls are lost in {} of {rows} rows with a call, but only {tolerance} may be lost: {}{more}; take a \
            --dtype with more bits, or allow more with --tolerance",
        lost.len(),
        named.join(", "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use toolcall_lib::evaluate::Mistake;
    use toolcall_lib::serde_json::json;
    use toolcall_lib::{Message, ToolCall};

    fn check(calls: &[bool]) -> Check {
        let row = |&calls: &bool| Conversation {
            messages: vec![match calls {
                true => Message::assistant_calls(vec![ToolCall::new("timer", json!({})).unwrap()]),
                false => Message::assistant("Hi."),
            }],
            ..Conversation::default()
        };
        let (mut data, config) = (Dataset::default(), EvaluateConfig::default());
        data.rows = calls.iter().map(row).collect();
        Check { data, config }
    }

    fn with_mistakes(mistakes: &[(usize, usize, MistakeKind)]) -> Evaluation {
        let mistake = |&(row, turn, kind): &(usize, usize, MistakeKind)| Mistake {
            row,
            turn,
            kind,
            user: String::new(),
            expected: String::new(),
            got: String::new(),
        };
        Evaluation {
            mistakes: mistakes.iter().map(mistake).collect(),
            ..Evaluation::default()
        }
    }

    #[test]
    fn gained_calls_do_not_hide_lost_ones() {
        use MistakeKind::*;
        let before = with_mistakes(&[
            (1, 0, NoCall),
            (2, 0, WrongArguments),
            (3, 0, WrongArguments),
            (4, 1, NoCall),
        ]);
        let after = with_mistakes(&[
            (0, 0, NoCall),         // lost, and row 1 has gained its own
            (2, 0, WrongTool),      // lost the right tool
            (3, 0, WrongArguments), // as before
            (4, 0, WrongArguments), // lost: the mistake was in a later turn
            (5, 1, NoCall),         // no mistake in the first turn
            (6, 0, OverCall),       // had no call to lose
        ]);
        let check = check(&[true, true, true, true, true, true, false]);
        let lost = check.lost(&before, &after);
        assert_eq!(lost, [(0, NoCall), (2, WrongTool), (4, WrongArguments)]);
        assert_eq!(check.lost(&after, &after), []);
    }

    #[test]
    fn calls_that_are_lost_are_refused_beyond_the_tolerance() {
        let lost: Vec<_> = (3..10).map(|row| (row, MistakeKind::NoCall)).collect();
        assert_eq!(too_many(&[], 50, 0), None);
        assert_eq!(too_many(&lost[..2], 50, 2), None);
        let said = too_many(&lost[..2], 50, 1).unwrap();
        let part =
            "lost in 2 of 50 rows with a call, but only 1 may be lost: row 3 (no call), row 4 (no call);";
        assert!(said.contains(part), "{said}");
        let said = too_many(&lost, 50, 0).unwrap();
        assert!(
            said.contains("row 7 (no call), …;") && !said.contains("row 8"),
            "{said}"
        );
    }

    #[test]
    fn fewer_bits_may_lose_more() {
        let allowed = |given| {
            [Dtype::F32, Dtype::F16, Dtype::Q8_0, Dtype::Q4_0].map(|dtype| {
                let tolerance = Tolerance { given, dtype };
                (tolerance.here(50), tolerance.in_llama(50))
            })
        };
        assert_eq!(allowed(None), [(0, 1), (1, 1), (1, 1), (3, 3)]);
        assert_eq!(allowed(Some(0)), [(0, 0); 4]);
    }
}
