//! Files to rows of JSON, and rows of JSON to checked conversations.

use super::rows;
use super::table::{Container, Row, Table};
use super::{Dataset, FileReport, Origin, Slice, marked};
use crate::conversation::{Form, Read, Shapes, problems, read};
use crate::error::{Error, Problem, Result, RowProblem, some_of};
use crate::tool::ToolSchema;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Choice of the rows that are read from a file.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options<'a> {
    /// Tools for rows without tools.
    pub tools: &'a [ToolSchema],
    /// The split to read, where rows say to which one they belong.
    pub split: Option<&'a str>,
    /// True if the file names do not give the split, so that the rows have to name it.
    pub by_rows: bool,
    /// True if rows that name no split belong to it.
    pub is_all: bool,
    /// The part of the split to read.
    pub slice: Option<Slice>,
    /// The columns that are read; none: all.
    pub columns: Option<&'a [String]>,
}

/// Reads files as one data set. They share one schema: nulls of Arrow in one file are recognized by
/// the rows of the others.
pub(crate) fn load(files: &[PathBuf], options: Options<'_>) -> Result<Dataset> {
    find(files, options)?
}

/// Does the same as [`load`]; the inner error is why there is no such split.
pub(crate) fn find(files: &[PathBuf], options: Options<'_>) -> Result<Result<Dataset>> {
    // 1. Read the files, and choose the rows of the split.
    let tables = files.iter().map(|file| rows::read(file));
    let mut tables = tables.collect::<Result<Vec<_>>>()?;
    let mut data = Dataset::default();
    let used = match choose(&mut tables, options, &mut data) {
        Ok(used) => used,
        Err(problem) => {
            let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            return Ok(Err(Error::invalid(some_of(&names), problem)));
        }
    };
    if let Some(columns) = options.columns {
        let rows = tables.iter_mut().flat_map(|table| &mut table.rows);
        for row in rows.filter_map(Row::object_mut) {
            row.retain(|name, _| columns.contains(name));
        }
    }
    // 2. Find the shapes of all files together.
    let is_parquet = tables.iter().any(|table| table.container == Container::Parquet);
    let mut shapes = if is_parquet {
        Shapes::of_parquet()
    } else {
        Shapes::default()
    };
    let all = tables.iter().flat_map(|table| &table.rows);
    all.flat_map(|row| &row.value).for_each(|row| shapes.add_row(row));
    // 3. Read the rows of the slice.
    if let Some(slice) = options.slice {
        let left_out = slice.keep(&mut tables);
        if left_out > 0 {
            data.note([format!("outside of `{slice}`, left out")], left_out);
        }
    }
    let mut found = Vec::new();
    for (file, table) in files.iter().zip(tables) {
        data.files.push(FileReport::of(file, &table, used));
        found.extend(data.add(file, table, options.tools, &shapes));
    }
    match (found.is_empty(), data.rows.is_empty()) {
        (false, _) => Err(Error::Rows(found)),
        (true, true) => {
            let place = files
                .first()
                .map_or(Path::new("data"), PathBuf::as_path)
                .display();
            Err(Error::invalid(
                place,
                r#"no rows; expected {"messages": [[…], …], "tools": [[…], …]}"#,
            ))
        }
        (true, false) => Ok(Ok(data)),
    }
}

/// Keeps the rows of the split; returns the column that names the split of a row, if it was used.
fn choose(
    tables: &mut [Table],
    options: Options<'_>,
    data: &mut Dataset,
) -> std::result::Result<Option<&'static str>, String> {
    let (Some(splits), split) = (marked::splits(tables), options.split) else {
        return match options.split.filter(|_| options.by_rows && !options.is_all) {
            None => Ok(None),
            Some(split) => Err(format!(
                "there is no split `{split}`, and not all rows name one as `{}`",
                marked::COLUMN
            )),
        };
    };
    let counts: Vec<String> = splits
        .iter()
        .map(|(name, rows)| format!("{name}: {rows}"))
        .collect();
    let counts = counts.join(", ");
    let Some(split) = split else {
        let note = format!(
            "rows name a split as `{}` ({counts}); all are read",
            marked::COLUMN
        );
        data.note([note], splits.values().sum());
        marked::take_out(tables);
        return Ok(Some(marked::COLUMN));
    };
    if !splits.keys().any(|name| marked::is_same(name, split)) {
        return match options.by_rows {
            true => Err(format!("no row is of the split `{split}`; there are {counts}")),
            false => Ok(None),
        };
    }
    let left_out = marked::keep(tables, split);
    if left_out > 0 {
        let note = format!("of other splits than `{split}` ({counts}), left out");
        data.note([note], left_out);
    }
    Ok(Some(marked::COLUMN))
}

impl Dataset {
    /// Loads and checks a file; the format is detected from the content:
    ///
    /// - columns, `{"messages": [[…], …], "tools": [[…], …]}`; `tools` may be absent, or one list
    ///   for all rows;
    /// - rows, `[{"messages": […], "tools": […]}, …]`; or JSONL, one such object per line;
    /// - Parquet, whose columns are those of the rows (feature `parquet`); and CSV, whose cells
    ///   hold strings or JSON.
    ///
    /// `tools`, and the `arguments` of a call, may also be JSON strings. ShareGPT files
    /// (`conversations`, `from`, `value`), `prompt` with `completion`, xLAM's `query` with
    /// `answers`, and calls in text are read too; `docs/data_formats.md` has all forms. Nulls that
    /// Arrow put into arguments and schemas are dropped.
    ///
    /// # Errors
    /// [`crate::Error::Rows`] with *all* problems: unknown keys, roles out of order, calls without
    /// their answer, unknown tools, arguments that do not fit the schema, JSON that is encoded
    /// twice, empty turns. If the file is not JSON, the error has the line and the column.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with_tools(path, &[])
    }

    /// Like [`Dataset::load`]; rows without tools get `tools`.
    pub fn load_with_tools(path: impl AsRef<Path>, tools: &[ToolSchema]) -> Result<Self> {
        let options = Options {
            tools,
            ..Options::default()
        };
        load(&[path.as_ref().to_path_buf()], options)
    }

    /// Adds the rows of a file; returns their problems.
    fn add(&mut self, file: &Path, table: Table, tools: &[ToolSchema], shapes: &Shapes) -> Vec<RowProblem> {
        let (shared, mut found): (Arc<Path>, _) = (file.into(), Vec::new());
        for Row { index, place, value } in table.rows {
            let read = value
                .map_err(|problem| vec![problem])
                .and_then(|row| checked(&row, tools, shapes).map_err(|problems| placed(problems, place)));
            match read {
                Ok(read) => {
                    self.origins.push(Origin {
                        file: shared.clone(),
                        row: index,
                        has_completion: read.form == Some(Form::PromptCompletion),
                    });
                    self.rows.push(read.conversation);
                    self.note(read.notes, 1);
                }
                Err(problems) => found.extend(problems.into_iter().map(|(field, problem)| RowProblem {
                    file: file.to_path_buf(),
                    row: index,
                    field,
                    problem,
                })),
            }
        }
        found
    }
}

/// Puts the place of the row before the field of each problem.
fn placed(problems: Vec<Problem>, place: Option<String>) -> Vec<Problem> {
    let Some(place) = place else {
        return problems;
    };
    let problems = problems.into_iter();
    problems
        .map(|(field, problem)| (format!("{place}: {field}"), problem))
        .collect()
}

fn checked(row: &Value, tools: &[ToolSchema], shapes: &Shapes) -> std::result::Result<Read, Vec<Problem>> {
    let read = read(row, tools, shapes)?;
    let problems = problems(&read.conversation, &read.fields);
    if problems.is_empty() {
        Ok(read)
    } else {
        Err(problems)
    }
}
