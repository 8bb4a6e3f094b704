//! A Parquet file to rows of JSON: lists and objects unchanged, JSON strings as strings.
//!
//! The records of the crate `parquet` are enough for that, without Arrow. The sizes that a file
//! states may be false, so rows and bytes are counted while they are read.

use crate::conversation::is_column;
use crate::error::{Error, Problem, Result};
use crate::guard::{bounded, caught};
use parquet::basic::Compression;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Number, Value};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Most rows of a file.
const MOST_ROWS: usize = 10_000_000;
/// Most bytes of the values of a file, with the overhead of each.
const MOST_BYTES: usize = 4 << 30;
/// Memory that a value takes besides its string.
const VALUE: usize = 64;
/// Deepest nesting of lists and objects.
const DEEPEST: usize = 64;

type Rows = Vec<std::result::Result<Value, Problem>>;

/// Reads the rows of a file.
pub(super) fn rows(path: &Path) -> Result<Rows> {
    let reader = open(path)?;
    let (mut rows, mut room) = (Vec::new(), MOST_BYTES);
    for group in 0..reader.num_row_groups() {
        let place = format!("{}: row group {group}", path.display());
        let before = rows.len();
        let read = caught(&place, || read_group(&reader, group, &mut rows, &mut room));
        let Err(problem) = read.and_then(|read| read.map_err(|problem| Error::invalid(&place, problem)))
        else {
            continue;
        };
        return Err(match damaged_column(&reader, group) {
            Some((column, row)) => {
                let row = before + row;
                Error::invalid(
                    format!("{place}: column `{column}`: row {row}"),
                    "cannot be read; the file is damaged",
                )
            }
            None => problem,
        });
    }
    Ok(rows)
}

/// Opens a file and checks its metadata.
fn open(path: &Path) -> Result<SerializedFileReader<File>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let place = path.display().to_string();
    let opened = bounded(&place, move || {
        let reader = SerializedFileReader::new(file).map_err(|problem| problem.to_string())?;
        check(&reader).map(|()| reader)
    })?;
    opened.map_err(|problem| Error::invalid(place, problem))
}

fn check(reader: &SerializedFileReader<File>) -> std::result::Result<(), String> {
    let metadata = reader.metadata();
    let schema = metadata.file_metadata().schema();
    if depth(schema) > DEEPEST {
        return Err(format!("has lists or objects more than {DEEPEST} deep"));
    }
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        if let codec @ (Compression::BROTLI(_) | Compression::LZO) = column.compression() {
            let column = column.column_path().string();
            return Err(format!(
                "column `{column}` is compressed with {codec}; write the file with snappy, gzip, zstd or lz4"
            ));
        }
    }
    Ok(())
}

fn depth(schema: &Type) -> usize {
    let fields = if schema.is_group() {
        schema.get_fields()
    } else {
        &[]
    };
    1 + fields.iter().map(|field| depth(field)).max().unwrap_or(0)
}

fn read_group(
    reader: &SerializedFileReader<File>,
    group: usize,
    rows: &mut Rows,
    room: &mut usize,
) -> std::result::Result<(), String> {
    let group = reader
        .get_row_group(group)
        .map_err(|problem| problem.to_string())?;
    for row in group.get_row_iter(None).map_err(|problem| problem.to_string())? {
        if rows.len() == MOST_ROWS {
            return Err(format!("the file has more than {MOST_ROWS} rows; divide it"));
        }
        let mut reading = Reading { room: *room };
        rows.push(reading.row(row.map_err(|problem| problem.to_string())?));
        if reading.room == 0 {
            let most = MOST_BYTES >> 30;
            return Err(format!(
                "the values of the file take more than {most} GiB; divide it"
            ));
        }
        *room = reading.room;
    }
    Ok(())
}

/// The first column that cannot be read on its own, and the row of the group at which it ends.
fn damaged_column(reader: &SerializedFileReader<File>, group: usize) -> Option<(String, usize)> {
    let schema = reader.metadata().file_metadata().schema();
    schema.get_fields().iter().find_map(|field| {
        let read = caught("column", || rows_of_column(reader, group, schema.name(), field));
        let row = read.unwrap_or(Err(0)).err()?;
        Some((field.name().to_string(), row))
    })
}

/// Reads one column; an error is the row that fails.
fn rows_of_column(
    reader: &SerializedFileReader<File>,
    group: usize,
    name: &str,
    column: &Arc<Type>,
) -> std::result::Result<(), usize> {
    let alone = Type::group_type_builder(name).with_fields(vec![column.clone()]);
    let alone = alone.build().map_err(|_| 0_usize)?;
    let group = reader.get_row_group(group).map_err(|_| 0_usize)?;
    let rows = group.get_row_iter(Some(alone)).map_err(|_| 0_usize)?;
    rows.enumerate()
        .try_for_each(|(index, row)| row.map(drop).map_err(|_| index))
}

/// Makes JSON of values, and counts what it takes.
struct Reading {
    /// Bytes that are left.
    room: usize,
}

impl Reading {
    /// An object with the columns of a row.
    fn row(&mut self, row: Row) -> std::result::Result<Value, Problem> {
        let mut object = Map::new();
        for (name, field) in row.into_columns() {
            let value = match self.value(field) {
                Ok(value) => value,
                Err(problem) if is_column(&name) => return Err((name, problem)),
                Err(_) => Value::from("(no JSON)"), // never read
            };
            object.insert(name, value);
        }
        Ok(object.into())
    }

    fn value(&mut self, field: Field) -> std::result::Result<Value, String> {
        self.room = self.room.saturating_sub(VALUE);
        Ok(match field {
            Field::Null => Value::Null,
            Field::Bool(value) => value.into(),
            Field::Byte(value) => value.into(),
            Field::Short(value) => value.into(),
            Field::Int(value) => value.into(),
            Field::Long(value) => value.into(),
            Field::UByte(value) => value.into(),
            Field::UShort(value) => value.into(),
            Field::UInt(value) => value.into(),
            Field::ULong(value) => value.into(),
            Field::Float16(value) => fraction(value.into())?,
            Field::Float(value) => fraction(value.to_string().parse().unwrap_or(f64::NAN))?,
            Field::Double(value) => fraction(value)?,
            Field::Str(text) => self.text(text),
            Field::Bytes(bytes) => match String::from_utf8(bytes.data().to_vec()) {
                Ok(text) => self.text(text),
                Err(_) => return Err("found bytes that are not UTF-8, expected a string".to_string()),
            },
            Field::Group(row) => self.object(row.into_columns())?,
            Field::ListInternal(list) => {
                let items = list.elements().iter().cloned();
                items
                    .map(|item| self.value(item))
                    .collect::<std::result::Result<_, _>>()?
            }
            Field::MapInternal(map) => {
                let entries = map.entries().iter().cloned();
                let named = entries.map(|(key, value)| match key {
                    Field::Str(name) => Ok((name, value)),
                    other => Err(format!("found the key {other}, expected a string")),
                });
                self.object(named.collect::<std::result::Result<_, _>>()?)?
            }
            // Decimals, dates and times, which JSON writes as strings.
            other => self.text(other.to_string()),
        })
    }

    fn text(&mut self, text: String) -> Value {
        self.room = self.room.saturating_sub(text.len());
        text.into()
    }

    fn object(&mut self, fields: Vec<(String, Field)>) -> std::result::Result<Value, String> {
        let fields = fields.into_iter().map(|(name, field)| {
            self.room = self.room.saturating_sub(name.len());
            Ok((name, self.value(field)?))
        });
        fields.collect()
    }
}

fn fraction(value: f64) -> std::result::Result<Value, String> {
    Number::from_f64(value)
        .map(Value::Number)
        .ok_or_else(|| format!("found {value}, which JSON does not have"))
}
