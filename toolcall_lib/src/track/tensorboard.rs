//! TensorBoard's event files: one protobuf `Event` after another, framed as TFRecords.

use super::protobuf::Message;
use super::{Ending, Outcome, Point, Run, Started, Table, Tracker, folder_of, grouped};
use crate::error::{Error, Result};
use crate::machine::{host, now};
use crc::{CRC_32_ISCSI, Crc};
use serde_json::{Map, Value};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

static CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Starts an event file for a run, in the folder that transformers would take.
pub(super) fn start(run: &Run) -> Result<Started> {
    let folder = folder(run);
    let mut events = EventFile::create(&folder)?;
    if run.steps_before > 0 {
        events.restart(run.steps_before + 1)?;
    }
    events.text("args", &code(&run.settings)?)?;
    events.text("model_config", &code(&run.model)?)?;
    let note = format!("tensorboard --logdir {} shows this run", folder.display());
    Ok((Some(Box::new(Board { events })), vec![note]))
}

/// Returns `logging_dir`, or `TENSORBOARD_LOGGING_DIR`, or `runs/NAME` in the output folder.
fn folder(run: &Run) -> PathBuf {
    let named = run.logging_dir.clone();
    named
        .or_else(|| folder_of("TENSORBOARD_LOGGING_DIR"))
        .unwrap_or_else(|| {
            let name = run.name.as_deref().map_or_else(default_name, file_name);
            run.output_dir
                .as_deref()
                .unwrap_or(Path::new(""))
                .join("runs")
                .join(name)
        })
}

/// Returns the time and the host, as in `Nov27_05-03-09_host`.
fn default_name() -> String {
    format!(
        "{}_{}",
        jiff::ZonedDateTime::now().strftime("%b%d_%H-%M-%S"),
        file_name(&host())
    )
}

/// Turns a name into one that a file can have.
fn file_name(name: &str) -> String {
    let safe = |c: char| {
        if c.is_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    match name.trim_start_matches('.') {
        "" => "run".to_string(),
        name => name.chars().map(safe).collect(),
    }
}

/// Returns JSON as a block of code in Markdown, which TensorBoard shows.
fn code(what: &Map<String, Value>) -> Result<String> {
    let json = serde_json::to_string_pretty(what).map_err(Error::library("writing an event"))?;
    Ok(json.lines().map(|line| format!("    {line}\n")).collect())
}

#[derive(Debug)]
struct Board {
    events: EventFile,
}

impl Tracker for Board {
    fn name(&self) -> &'static str {
        "tensorboard"
    }

    fn log(&mut self, point: &Point) -> Result<Vec<String>> {
        self.events.scalars(point.step, &point.values)?;
        Ok(Vec::new())
    }

    fn finish(&mut self, ending: &Ending) -> Result<Vec<String>> {
        if ending.outcome != Outcome::Failed {
            self.events.scalars(self.events.last_step, &ending.summary)?;
        }
        for (name, table) in &ending.tables {
            self.add_table(name, table)?;
        }
        Ok(Vec::new())
    }

    fn add_table(&mut self, name: &str, table: &Table) -> Result<Vec<String>> {
        self.events.text(name, &table.to_string())?;
        Ok(Vec::new())
    }
}

/// An event file that is being written. Readers see every entry at once.
///
/// ```
/// use serde_json::json;
/// use toolcall_lib::track::EventFile;
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// let mut events = EventFile::create(folder).unwrap();
/// events.scalars(1, json!({"loss": 0.5}).as_object().unwrap()).unwrap(); // `train/loss`
/// assert!(events.path().exists());
/// ```
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
    last_step: usize,
}

impl EventFile {
    /// Creates the next event file of a folder, and the folder if it is not there.
    ///
    /// # Errors
    /// They cannot be created.
    pub fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let (path, file) = new_file(folder)?;
        let mut events = Self {
            path,
            file,
            last_step: 0,
        };
        events.write(0, |event| event.text(3, "brain.Event:2"))?;
        Ok(events)
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds numbers after a step, each as a separate series. Leaves out values that are not
    /// numbers.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn scalars(&mut self, step: usize, values: &Map<String, Value>) -> Result<()> {
        let numbers = values
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_f64()?)));
        let summary = numbers.fold(Message::new(), |summary, (name, number)| {
            let value = Message::new().text(1, grouped(name)).float(2, number as f32);
            summary.message(1, value)
        });
        self.last_step = step;
        self.write(step, |event| event.message(5, summary))
    }

    /// Adds a text in Markdown.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn text(&mut self, name: &str, text: &str) -> Result<()> {
        const STRING: u64 = 7; // the type of a tensor's elements
        let shape = Message::new().message(2, Message::new().number(1, 1));
        let tensor = Message::new().number(1, STRING).message(2, shape).text(8, text);
        let shown_by = Message::new().message(1, Message::new().text(1, "text"));
        let tag = format!("{name}/text_summary");
        let value = Message::new()
            .text(1, tag)
            .message(9, shown_by)
            .message(8, tensor);
        let summary = Message::new().message(1, value);
        self.write(0, |event| event.message(5, summary))
    }

    /// Makes readers forget the entries of other files from this step on. The run goes on from a
    /// checkpoint, and makes these steps again.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn restart(&mut self, step: usize) -> Result<()> {
        const START: u64 = 1;
        self.write(step, |event| event.message(7, Message::new().number(1, START)))
    }

    fn write(&mut self, step: usize, fill: impl FnOnce(Message) -> Message) -> Result<()> {
        let event = Message::new().double(1, now()).number(2, step as u64);
        let record = record(&fill(event).into_bytes());
        self.file.write_all(&record).map_err(Error::io(&self.path))
    }
}

/// Creates a file with a new name: `events.out.tfevents.TIME.HOST.PROCESS.NUMBER`.
fn new_file(folder: &Path) -> Result<(PathBuf, File)> {
    let (time, host, process) = (now() as u64, file_name(&host()), std::process::id());
    let mut number = 0;
    loop {
        let path = folder.join(format!(
            "events.out.tfevents.{time:010}.{host}.{process}.{number}"
        ));
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            opened => {
                let file = opened.map_err(Error::io(&path))?;
                return Ok((path, file));
            }
        }
    }
}

/// Returns a TFRecord: the length and its checksum, the data and its checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let masked = |bytes: &[u8]| {
        let checksum = CRC32C.checksum(bytes).rotate_right(15);
        checksum.wrapping_add(0xa282_ead8).to_le_bytes()
    };
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        assert_eq!(CRC32C.checksum(b"123456789"), 0xe306_9283);
        // The first record of every event file that TensorFlow writes has this length.
        let header = record(&[0; 24]);
        assert_eq!(header[..12], [0x18, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_folder() {
        for (name, file) in [
            ("../../x", "-..-x"),
            ("..", "run"),
            ("a b/ü", "a-b-ü"),
            (".hidden", "hidden"),
        ] {
            assert_eq!(file_name(name), file);
        }
    }
}
