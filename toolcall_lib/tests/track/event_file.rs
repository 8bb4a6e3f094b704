//! Reads event files back, checksums included.

use crc::{CRC_32_ISCSI, Crc};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// An event: its step and its content.
#[derive(Debug, Default)]
pub struct Event {
    pub step: u64,
    pub version: Option<String>,
    pub is_start: bool,
    pub scalars: BTreeMap<String, f32>,
    pub texts: BTreeMap<String, String>,
}

/// All events of the files of a folder, in the order of the files' creation.
pub fn events(folder: &Path) -> Vec<Event> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| records(&fs::read(file).unwrap()))
        .map(|record| event(&record))
        .collect()
}

fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
    let crc = Crc::<u32>::new(&CRC_32_ISCSI);
    let check = |data: &[u8], at: usize| {
        let stored = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let unmasked = stored.wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(unmasked, crc.checksum(data), "checksum at byte {at}");
    };
    let (mut at, mut records) = (0, Vec::new());
    while at < bytes.len() {
        let length = &bytes[at..at + 8];
        check(length, at + 8);
        let end = at + 12 + u64::from_le_bytes(length.try_into().unwrap()) as usize;
        check(&bytes[at + 12..end], end);
        records.push(bytes[at + 12..end].to_vec());
        at = end + 4;
    }
    records
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, by number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let mut take = |length: usize| {
            let (taken, rest) = bytes.split_at(length);
            bytes = rest;
            taken
        };
        let field = match key & 7 {
            1 => Field::Number(u64::from_le_bytes(take(8).try_into().unwrap())),
            5 => Field::Number(u32::from_le_bytes(take(4).try_into().unwrap()).into()),
            0 => Field::Number(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (taken, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(taken)
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn event(record: &[u8]) -> Event {
    let mut event = Event::default();
    for (number, field) in fields(record) {
        match (number, field) {
            (1, Field::Number(time)) => assert!(f64::from_bits(time) > 1.7e9),
            (2, Field::Number(step)) => event.step = step,
            (3, Field::Bytes(version)) => event.version = Some(text(version)),
            (5, Field::Bytes(summary)) => add_values(&mut event, summary),
            (7, Field::Bytes(log)) => event.is_start = log == [8, 1],
            (other, _) => panic!("field {other} of an event"),
        }
    }
    event
}

fn add_values(event: &mut Event, summary: &[u8]) {
    for (_, value) in fields(summary) {
        let Field::Bytes(value) = value else { panic!() };
        let mut tag = String::new();
        for (number, field) in fields(value) {
            match (number, field) {
                (1, Field::Bytes(name)) => tag = text(name),
                (2, Field::Number(bits)) => {
                    event.scalars.insert(tag.clone(), f32::from_bits(bits as u32));
                }
                (8, Field::Bytes(tensor)) => {
                    let strings = fields(tensor)
                        .into_iter()
                        .filter_map(|(number, field)| match field {
                            Field::Bytes(string) if number == 8 => Some(text(string)),
                            _ => None,
                        });
                    event.texts.insert(tag.clone(), strings.collect());
                }
                (9, Field::Bytes(metadata)) => assert_eq!(metadata, b"\x0a\x06\x0a\x04text"),
                (other, _) => panic!("field {other} of a value"),
            }
        }
    }
}
