//! Reads rows out of a wheel or a folder.

use super::Category;
use super::row::{self, Row};
use crate::error::{Error, Problem, Result, RowProblem};
use crate::json;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Folder of the files in a wheel.
const IN_WHEEL: &str = "bfcl_eval/data";

/// Reads the rows of a category: from the wheel `bfcl_eval-….whl`, from a folder into which it was
/// unpacked, or from one that has the files `BFCL_v4_….json` and `possible_answer/BFCL_v4_….json`
/// itself.
///
/// # Errors
/// There is no such file at `data`, or a row is malformed. The error names every malformed row,
/// with file, row and field.
pub fn load(data: impl AsRef<Path>, category: Category) -> Result<Vec<Row>> {
    let data = data.as_ref();
    let name = format!("BFCL_v4_{category}.json");
    // 1. Read the files.
    let questions = Lines::read(data, &name)?;
    let answers = match category.has_answers() {
        true => Some(Lines::read(data, &format!("possible_answer/{name}"))?),
        false => None,
    };
    let mut problems = Vec::new();
    let mut found = |file: &Path, index: usize, (field, problem): Problem| {
        problems.push(RowProblem {
            file: file.to_path_buf(),
            row: index,
            field,
            problem,
        });
    };
    // 2. Read the rows. A row that cannot be read keeps its place, so that answers find theirs.
    let mut rows = Vec::new();
    for (index, question) in questions.rows.iter().enumerate() {
        let row = row::read(question, category);
        rows.push(row.map_err(|problem| found(&questions.file, index, problem)).ok());
    }
    // 3. Give each row its answers.
    if let Some(answers) = &answers {
        if answers.rows.len() != rows.len() {
            let (rows, answers) = (rows.len(), answers.rows.len());
            let problem = format!("{answers} answers for {rows} rows; the files do not belong together");
            return Err(Error::invalid(data.display(), problem));
        }
        for (index, (answer, row)) in answers.rows.iter().zip(&mut rows).enumerate() {
            match (row::answers(answer), row) {
                (Ok((id, answers)), Some(row)) if id == row.id => row.answers = answers,
                (Ok((id, _)), Some(row)) => {
                    let problem = format!("found `{id}`, expected `{}`, the row's", row.id);
                    found(&answers.file, index, ("id".into(), problem));
                }
                (Ok(_), None) => {}
                (Err(problem), _) => found(&answers.file, index, problem),
            }
        }
    }
    match problems.is_empty() {
        true => Ok(rows.into_iter().flatten().collect()),
        false => Err(Error::Rows(problems)),
    }
}

/// A file with a JSON object a line.
struct Lines {
    file: PathBuf,
    rows: Vec<Value>,
}

impl Lines {
    fn read(data: &Path, name: &str) -> Result<Self> {
        let (file, text) = text(data, name)?;
        let wrong = |problem: json::Problem| {
            let place = format!("{}: line {}", file.display(), problem.line);
            Error::invalid(place, format!("{} at column {}", problem.reason, problem.column))
        };
        let rows = json::lines(&text).map(|row| row.map_err(wrong));
        Ok(Self {
            rows: rows.collect::<Result<_>>()?,
            file,
        })
    }
}

/// Returns a file's name, for messages, and its text.
fn text(data: &Path, name: &str) -> Result<(PathBuf, String)> {
    if data.is_file() {
        let place = format!("{IN_WHEEL}/{name}");
        return Ok((data.join(&place), from_wheel(data, &place)?));
    }
    let places = [data.join(name), data.join(IN_WHEEL).join(name)];
    match places.into_iter().find(|file| file.is_file()) {
        Some(file) => {
            let text = std::fs::read_to_string(&file).map_err(Error::io(&file))?;
            Ok((file, text))
        }
        None => {
            let problem = format!(
                "there is no {name} here; expected the wheel of bfcl-eval or a folder with its files: scripts/setup.sh bfcl fetches it"
            );
            Err(Error::invalid(data.display(), problem))
        }
    }
}

fn from_wheel(wheel: &Path, name: &str) -> Result<String> {
    let unreadable = |e: zip::result::ZipError| {
        Error::invalid(
            wheel.display(),
            format!("reading {name} from it: {e}; expected the wheel of bfcl-eval"),
        )
    };
    let file = File::open(wheel).map_err(Error::io(wheel))?;
    let mut archive = zip::ZipArchive::new(file).map_err(unreadable)?;
    let mut entry = archive.by_name(name).map_err(unreadable)?;
    let mut text = String::new();
    entry
        .read_to_string(&mut text)
        .map_err(Error::io(wheel.join(name)))?;
    Ok(text)
}
