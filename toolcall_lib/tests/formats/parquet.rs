//! Writes Parquet with the crate that reads it: lists of objects in Arrow's layout, and JSON
//! strings.

use super::made::{expected, file, load, messages, refused, tokens, tools};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;
use serde_json::{Value, json};
use std::sync::Arc;
use toolcall_lib::Dataset;

/// `messages` as Arrow has them: every object has the keys of all others.
pub const NESTED: &str = "message schema {
  optional group messages (LIST) { repeated group list { optional group element {
    optional binary role (UTF8);
    optional binary content (UTF8);
    optional group tool_calls (LIST) { repeated group list { optional group element {
      optional binary type (UTF8);
      optional group function {
        optional binary name (UTF8);
        optional group arguments { optional int64 minutes; optional binary room (UTF8); }
      }
    } } }
    optional binary name (UTF8);
  } } }
  optional binary tools (UTF8);
}";

const TEXTS: &str =
    "message schema { optional binary messages (UTF8); optional binary tools (UTF8); optional int64 id; }";

/// The values of a column, each with its depth.
#[derive(Clone, Default)]
struct Leaf {
    values: Vec<Value>,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
}

/// Place of a value: the depth to which its path exists, the list that it continues, and the number
/// of lists around it.
#[derive(Clone, Copy)]
struct Place {
    definition: i16,
    repetition: i16,
    lists: i16,
}

fn leaves(field: &Type) -> usize {
    match field.is_primitive() {
        true => 1,
        false => field.get_fields().iter().map(|field| leaves(field)).sum(),
    }
}

/// Splits a value of an optional field into the columns of its leaves.
fn shred(field: &Type, value: &Value, place: Place, columns: &mut [Leaf]) {
    let there = Place {
        definition: place.definition + 1,
        ..place
    };
    match value {
        Value::Null => columns.iter_mut().for_each(|column| column.add(place, None)),
        value if field.is_primitive() => columns[0].add(there, Some(value.clone())),
        Value::Array(items) if items.is_empty() => {
            columns.iter_mut().for_each(|column| column.add(there, None))
        }
        Value::Array(items) => {
            let element = &field.get_fields()[0].get_fields()[0];
            for (index, item) in items.iter().enumerate() {
                let place = Place {
                    definition: there.definition + 1,
                    repetition: if index == 0 {
                        place.repetition
                    } else {
                        place.lists + 1
                    },
                    lists: place.lists + 1,
                };
                shred(element, item, place, columns);
            }
        }
        value => {
            let mut rest = columns;
            for field in field.get_fields() {
                let (own, behind) = rest.split_at_mut(leaves(field));
                shred(field, &value[field.name()], there, own);
                rest = behind;
            }
        }
    }
}

impl Leaf {
    fn add(&mut self, place: Place, value: Option<Value>) {
        self.values.extend(value);
        self.definitions.push(place.definition);
        self.repetitions.push(place.repetition);
    }
}

/// Returns a file with these rows, in row groups of this size.
pub fn written(schema: &str, rows: &[Value], group: usize, compression: Compression) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema.clone(), Arc::new(properties)).unwrap();
    for rows in rows.chunks(group) {
        let mut columns = vec![Leaf::default(); leaves(&schema)];
        for row in rows {
            let mut rest = &mut columns[..];
            for field in schema.get_fields() {
                let (own, behind) = rest.split_at_mut(leaves(field));
                let start = Place {
                    definition: 0,
                    repetition: 0,
                    lists: 0,
                };
                shred(field, &row[field.name()], start, own);
                rest = behind;
            }
        }
        let mut group = writer.next_row_group().unwrap();
        for leaf in columns {
            let mut column = group.next_column().unwrap().unwrap();
            write(column.untyped(), &leaf);
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

fn write(column: &mut ColumnWriter<'_>, leaf: &Leaf) {
    let levels = (Some(&leaf.definitions[..]), Some(&leaf.repetitions[..]));
    let values = leaf.values.iter();
    let written = match column {
        ColumnWriter::Int64ColumnWriter(column) => {
            let values: Vec<i64> = values.map(|value| value.as_i64().unwrap()).collect();
            column.write_batch(&values, levels.0, levels.1)
        }
        ColumnWriter::DoubleColumnWriter(column) => {
            let values: Vec<f64> = values.map(|value| value.as_f64().unwrap()).collect();
            column.write_batch(&values, levels.0, levels.1)
        }
        ColumnWriter::ByteArrayColumnWriter(column) => {
            let values: Vec<ByteArray> = values.map(|value| value.as_str().unwrap().into()).collect();
            column.write_batch(&values, levels.0, levels.1)
        }
        _ => panic!("no test has such a column"),
    };
    written.unwrap();
}

/// Returns the data set with its messages as lists of objects.
pub fn nested(compression: Compression) -> Vec<u8> {
    let rows: Vec<Value> = messages()
        .into_iter()
        .map(|messages| json!({"messages": messages, "tools": tools().to_string()}))
        .collect();
    written(NESTED, &rows, 2, compression)
}

#[test]
fn parquet_trains_the_same_tokens_as_json() {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::LZ4_RAW,
        zstd,
    ] {
        let data = load("data.parquet", nested(compression));
        assert!(tokens(&data) == expected(), "{compression}: {:#?}", data.rows);
        assert_eq!(data.notes(), Vec::<String>::new());
    }
    let texts: Vec<Value> = messages()
        .into_iter()
        .map(|messages| json!({"messages": messages.to_string(), "tools": tools().to_string(), "id": 7}))
        .collect();
    let data = load("named as it is on some hub", written(TEXTS, &texts, 10, zstd));
    assert!(tokens(&data) == expected());
    let report = data.files()[0].to_string();
    assert!(
        report.ends_with(": Parquet, messages; 3 rows; read: messages, tools; left aside: id"),
        "{report}"
    );
}

#[test]
fn nulls_that_parquet_needs_are_no_arguments() {
    let rows = [json!({"messages": messages()[1], "tools": tools().to_string()})];
    let data = load("one.parquet", written(NESTED, &rows, 1, Compression::SNAPPY));
    let arguments: Vec<Value> = data.rows[0].messages[1]
        .tool_calls
        .iter()
        .map(|call| json!(call.arguments))
        .collect();
    assert_eq!(arguments, [json!({"minutes": 3}), json!({"room": "hall"})]);
}

#[test]
fn xlam_in_parquet_is_read() {
    let schema = "message schema { required int64 id; optional binary query (UTF8); optional binary answers (UTF8); optional binary tools (UTF8); }";
    let required = schema.replace("required", "optional");
    let rows = [
        json!({"id": 1, "query": "Dim the hall.", "answers": r#"[{"name": "dim", "arguments": {"room": "hall"}}]"#,
        "tools": r#"[{"name": "dim", "description": "Dims.", "parameters": {"room": {"type": "str", "description": "Where."}}}]"#}),
    ];
    let data = load("xlam.parquet", written(&required, &rows, 1, Compression::SNAPPY));
    assert_eq!(data.rows[0].messages[1].tool_calls[0].arguments["room"], "hall");
    assert_eq!(data.rows[0].tools[0].parameters()["required"], json!(["room"]));
}

#[test]
fn what_cannot_be_read_in_parquet_is_named() {
    let schema = "message schema { optional binary prompt (UTF8); optional binary completion (UTF8); optional double score; }";
    let row = |score: f64| json!({"prompt": "Hi.", "completion": "Hello.", "score": score});
    let good = written(
        schema,
        &[row(1.0), row(2.5), row(0.0)],
        2,
        Compression::UNCOMPRESSED,
    );
    assert_eq!(load("good.parquet", &good).rows.len(), 3);
    let (_folder, path) = file("good.parquet", &good);
    let reader = SerializedFileReader::try_from(path.as_path()).unwrap();
    let column = reader.metadata().row_group(1).column(1).clone();
    let start = column
        .dictionary_page_offset()
        .unwrap_or(column.data_page_offset()) as usize;
    let mut damaged = good.clone();
    damaged[start..start + 12].fill(0xff);
    let error = refused("data.parquet", &damaged);
    assert!(
        error.starts_with("data.parquet: row group 1: column `completion`: row 2: "),
        "{error}"
    );
    for (bytes, says) in [
        (&good[..good.len() - 1], "data.parquet: "),
        (&good[..40], "data.parquet: "),
        (&b"PAR1"[..], "data.parquet: "),
    ] {
        let error = refused("data.parquet", bytes);
        assert!(error.starts_with(says) && !error.contains("panic"), "{error}");
    }
    let error = refused(
        "data.parquet",
        written(
            "message schema { optional binary messages (UTF8); }",
            &[json!({"messages": "[1"})],
            1,
            Compression::SNAPPY,
        ),
    );
    assert!(
        error.contains("data.parquet: row 0: messages: the string is not valid JSON"),
        "{error}"
    );
}

#[test]
fn no_damage_makes_parquet_panic() {
    let good = nested(Compression::SNAPPY);
    let (_folder, path) = file("data.parquet", &good);
    for at in (0..good.len()).step_by(7) {
        let mut damaged = good.clone();
        damaged[at] ^= 0x55;
        std::fs::write(&path, &damaged).unwrap();
        if let Err(error) = Dataset::load(&path) {
            assert!(error.to_string().contains("data.parquet"), "{error}");
        }
    }
}
