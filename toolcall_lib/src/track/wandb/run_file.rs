//! The run file of Weights & Biases: protobuf `Record`s in the log format of LevelDB, with its own
//! header and checksum. `wandb sync` sends it.

use super::api::{AXIS, Description};
use crate::error::{Error, Result};
use crate::track::protobuf::Message;
use crc::{CRC_32_ISO_HDLC, Crc};
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

static CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// `:W&B`, a magic number, and the version 0.
const HEADER: [u8; 7] = *b":W&B\xe1\xbe\x00";
/// Length of a block. A part of a record is within one block.
const BLOCK: usize = 32 << 10;
/// Checksum, length and kind of a part.
const PART_HEADER: usize = 7;

/// A run file that is being written. Readers see at once what was written.
#[derive(Debug)]
pub(super) struct RunFile {
    path: PathBuf,
    file: File,
    /// Bytes so far.
    length: usize,
    /// Records so far.
    records: u64,
    /// Bytes in front of the end.
    before_exit: Option<usize>,
}

impl RunFile {
    /// Creates a file that must not exist.
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path)
            .map_err(Error::io(path))?;
        let mut new = Self {
            path: path.to_path_buf(),
            file,
            length: 0,
            records: 0,
            before_exit: None,
        };
        new.append(&HEADER)?;
        Ok(new)
    }

    /// Writes the facts about the run that come before its first step.
    pub fn run(&mut self, run: &Description, started: f64) -> Result<()> {
        let config = items(&run.config);
        let seconds = Message::new().number(1, started as u64);
        let started = seconds.number(2, (started.fract() * 1e9) as u64);
        let optional = [(2, &run.entity), (8, &run.name)];
        let mut record = Message::new()
            .text(1, &run.id)
            .text(3, &run.project)
            .message(4, config);
        for (field, text) in optional {
            record = text.iter().fold(record, |record, text| record.text(field, text));
        }
        let record = record.text(13, &run.host).message(17, started);
        self.write(|all| all.message(17, record))?;
        self.axis()
    }

    /// Makes the optimizer step the axis of all numbers.
    fn axis(&mut self) -> Result<()> {
        let defined = Message::new().number(3, 1);
        let step = Message::new().text(1, AXIS).message(6, defined.clone());
        let others = Message::new()
            .text(2, "*")
            .text(4, AXIS)
            .message(6, defined.number(1, 1));
        self.write(|all| all.message(12, step))?;
        self.write(|all| all.message(12, others))
    }

    /// Writes a row of the history.
    pub fn history(&mut self, step: usize, row: &Map<String, Value>) -> Result<()> {
        let history = items(row).message(2, Message::new().number(1, step as u64));
        self.write(|all| all.message(2, history))
    }

    /// Writes a file in `files`, next to the run file.
    pub fn media(&mut self, path: &str) -> Result<()> {
        let file = Message::new().text(1, path);
        let files = Message::new().message(1, file);
        self.write(|all| all.message(6, files))
    }

    /// Writes the latest value of each number.
    pub fn summary(&mut self, summary: &Map<String, Value>) -> Result<()> {
        self.write(|all| all.message(3, items(summary)))
    }

    /// Removes the end, so that more can follow.
    pub fn reopen(&mut self) -> Result<()> {
        if let Some(length) = self.before_exit.take() {
            self.file.set_len(length as u64).map_err(Error::io(&self.path))?;
            self.length = length;
            self.records -= 1;
        }
        Ok(())
    }

    /// Writes the end.
    pub fn exit(&mut self, code: i32, seconds: u64) -> Result<()> {
        self.before_exit = Some(self.length);
        let exit = Message::new().number(1, code as u64).number(2, seconds);
        self.write(|all| all.message(18, exit))?;
        self.file.sync_all().map_err(Error::io(&self.path))
    }

    fn write(&mut self, fill: impl FnOnce(Message) -> Message) -> Result<()> {
        self.records += 1;
        let record = fill(Message::new().number(1, self.records)).into_bytes();
        let framed = framed(self.length, &record);
        self.append(&framed)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len();
        self.file.write_all(bytes).map_err(Error::io(&self.path))
    }
}

/// The items of a config, a history row or a summary: all three have the same fields.
fn items(values: &Map<String, Value>) -> Message {
    values.iter().fold(Message::new(), |all, (name, value)| {
        all.message(1, Message::new().text(1, name).text(16, value.to_string()))
    })
}

/// Returns the bytes of a record that begins at byte `length` of a file. It is cut into parts, none
/// of which crosses the border of a block.
fn framed(length: usize, record: &[u8]) -> Vec<u8> {
    let (mut all, mut rest, mut is_first) = (Vec::new(), record, true);
    loop {
        let room = BLOCK - (length + all.len()) % BLOCK;
        if room < PART_HEADER {
            all.resize(all.len() + room, 0);
            continue;
        }
        let (part, later) = rest.split_at(rest.len().min(room - PART_HEADER));
        let kind = match (is_first, later.is_empty()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
            (false, true) => 4,
        };
        let mut checksum = CRC32.digest();
        checksum.update(&[kind]);
        checksum.update(part);
        all.extend(checksum.finalize().to_le_bytes());
        all.extend((part.len() as u16).to_le_bytes());
        all.push(kind);
        all.extend(part);
        if later.is_empty() {
            return all;
        }
        (rest, is_first) = (later, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of a file, whose checksums must fit.
    fn read(bytes: &[u8]) -> Vec<Vec<u8>> {
        assert_eq!(bytes[..7], HEADER);
        let (mut at, mut records, mut open) = (7, Vec::new(), None::<Vec<u8>>);
        while at < bytes.len() {
            let room = BLOCK - at % BLOCK;
            if room < PART_HEADER {
                assert!(bytes[at..at + room].iter().all(|&byte| byte == 0));
                at += room;
                continue;
            }
            let length = u16::from_le_bytes(bytes[at + 4..at + 6].try_into().unwrap()) as usize;
            let end = at + PART_HEADER + length;
            assert!(PART_HEADER + length <= room, "a part crosses a block");
            let checksum = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            assert_eq!(checksum, CRC32.checksum(&bytes[at + 6..end]));
            let (kind, part) = (bytes[at + 6], &bytes[at + PART_HEADER..end]);
            assert_eq!(open.is_none(), kind <= 2, "kind {kind} at {at}");
            open.get_or_insert_default().extend(part);
            if kind == 1 || kind == 4 {
                records.extend(open.take());
            }
            at = end;
        }
        assert!(open.is_none());
        records
    }

    #[test]
    fn records_of_every_length_come_back_across_the_borders_of_blocks() {
        let sizes = (0..40).chain(BLOCK - 60..BLOCK + 20).chain([3 * BLOCK, 0, 5]);
        let all: Vec<Vec<u8>> = sizes
            .map(|size| (0..size).map(|i| (i % 251) as u8).collect())
            .collect();
        let mut file = HEADER.to_vec();
        for record in &all {
            let more = framed(file.len(), record);
            file.extend(more);
        }
        assert!(read(&file) == all);
    }
}
