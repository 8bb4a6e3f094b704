//! Checks of a header before candle reads it: candle divides by the alignment, keeps the last of
//! two values with one name, and takes 32 bytes of memory for each byte of a list.

use crate::error::Problem;

/// Most elements of all lists together; the largest vocabularies have a million tokens, kinds and
/// merges.
const MOST_ELEMENTS: u64 = 1 << 24;
/// Most entries of the metadata, and most tensors.
const MOST_ENTRIES: u64 = 1 << 16;
/// Longest name, in bytes.
const LONGEST_NAME: u64 = 1 << 10;
const LARGEST_ALIGNMENT: u64 = 1 << 16;

/// Checks the metadata of a file, and the names and shapes of its tensors.
pub(super) fn check(bytes: &[u8]) -> Result<(), Problem> {
    let mut header = Header {
        rest: bytes,
        wide: true,
        elements: 0,
    };
    let (tensors, entries) = header.begin()?;
    let mut names = std::collections::HashSet::new();
    // 1. Metadata: names are unique, values have a type and are complete.
    for _ in 0..entries {
        let name = header.name()?;
        let kind = header.kind(&name)?;
        match name.as_str() {
            "general.alignment" => header.alignment(kind)?,
            _ => header.skip(kind, 1, &name, true)?,
        }
        if !names.insert(name.clone()) {
            return Err((name, "occurs twice in the metadata".to_string()));
        }
    }
    // 2. Tensors: names are unique, shapes are possible.
    for _ in 0..tensors {
        let name = header.name()?;
        header.tensor(&name)?;
        if !names.insert(format!("tensor {name}")) {
            return Err((name, "occurs twice among the tensors".to_string()));
        }
    }
    Ok(())
}

struct Header<'a> {
    rest: &'a [u8],
    /// True if lengths have 8 bytes, not 4.
    wide: bool,
    /// Elements of all lists so far.
    elements: u64,
}

/// Types of values.
const STRING: u32 = 8;
const ARRAY: u32 = 9;

impl Header<'_> {
    /// Reads magic number and version; returns the numbers of tensors and of metadata entries.
    fn begin(&mut self) -> Result<(u64, u64), Problem> {
        let place = "header";
        if self.take(4, place)? != b"GGUF" {
            return Err((
                place.into(),
                "does not begin with `GGUF`, so this is not a GGUF file".to_string(),
            ));
        }
        let version = self.u32(place)?;
        if !(1..=3).contains(&version) {
            return Err((
                "version".into(),
                format!("{version} is not supported; supported are 1 to 3"),
            ));
        }
        self.wide = version > 1;
        let counts = (self.length("tensor_count")?, self.length("metadata_kv_count")?);
        for (place, count) in [("tensor_count", counts.0), ("metadata_kv_count", counts.1)] {
            if count > MOST_ENTRIES {
                let problem = format!("found {count}, expected at most {MOST_ENTRIES}");
                return Err((place.into(), problem));
            }
        }
        Ok(counts)
    }

    fn take(&mut self, len: u64, place: &str) -> Result<&[u8], Problem> {
        let taken = usize::try_from(len)
            .ok()
            .and_then(|len| self.rest.split_at_checked(len));
        let (taken, rest) = taken.ok_or_else(|| (place.to_string(), too_short(len, self.rest.len())))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self, place: &str) -> Result<[u8; N], Problem> {
        let bytes = self.take(N as u64, place)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }

    fn u32(&mut self, place: &str) -> Result<u32, Problem> {
        self.number(place).map(u32::from_le_bytes)
    }

    fn length(&mut self, place: &str) -> Result<u64, Problem> {
        match self.wide {
            true => self.number(place).map(u64::from_le_bytes),
            false => self.u32(place).map(u64::from),
        }
    }

    fn name(&mut self) -> Result<String, Problem> {
        let place = "name of a value or tensor";
        let len = self.length(place)?;
        if len > LONGEST_NAME {
            let problem = format!("found {len} bytes, expected at most {LONGEST_NAME}");
            return Err((place.to_string(), problem));
        }
        let name = self.take(len, place)?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    fn kind(&mut self, place: &str) -> Result<u32, Problem> {
        match self.u32(place)? {
            kind @ 0..=12 => Ok(kind),
            other => Err((place.to_string(), format!("its type {other} does not exist"))),
        }
    }

    /// Skips values of a type; a list may not hold lists.
    fn skip(&mut self, kind: u32, count: u64, place: &str, may_be_list: bool) -> Result<(), Problem> {
        match kind {
            STRING => {
                for _ in 0..count {
                    let len = self.length(place)?;
                    self.take(len, place)?;
                }
                Ok(())
            }
            // A list: the type of its elements, their number, and the elements.
            ARRAY if may_be_list => {
                let kind = self.kind(place)?;
                let count = self.length(place)?;
                self.elements = self.elements.saturating_add(count);
                if self.elements > MOST_ELEMENTS {
                    let problem = format!(
                        "its {count} elements are too many; expected at most {MOST_ELEMENTS} in all \
                            lists together"
                    );
                    return Err((place.to_string(), problem));
                }
                self.skip(kind, count, place, false)
            }
            ARRAY => Err((
                place.to_string(),
                "is a list of lists, which is not supported".to_string(),
            )),
            _ => self.take(count.saturating_mul(width(kind)), place).map(drop),
        }
    }

    /// Checks the alignment of tensors: a power of two.
    fn alignment(&mut self, kind: u32) -> Result<(), Problem> {
        let place = "general.alignment";
        let bytes = match kind {
            0..=5 => self.take(width(kind), place)?,
            _ => {
                return Err((
                    place.to_string(),
                    "is not an integer of at most 32 bits".to_string(),
                ));
            }
        };
        let number = bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte));
        match (1..=LARGEST_ALIGNMENT).contains(&number) && number.is_power_of_two() {
            true => Ok(()),
            false => {
                let problem = format!("{number} is not a power of two up to {LARGEST_ALIGNMENT}");
                Err((place.to_string(), problem))
            }
        }
    }

    /// Checks the dimensions of a tensor, and skips its type and offset.
    fn tensor(&mut self, name: &str) -> Result<(), Problem> {
        let dimensions = self.u32(name)?;
        if !(1..=4).contains(&dimensions) {
            return Err((
                name.to_string(),
                format!("{dimensions} dimensions; expected 1 to 4"),
            ));
        }
        let mut elements = Some(1_u64);
        for _ in 0..dimensions {
            let len = self.length(name)?;
            elements = elements.and_then(|elements| elements.checked_mul(len));
        }
        if elements.is_none_or(|elements| elements == 0 || elements > 1 << 56) {
            return Err((
                name.to_string(),
                "its shape is impossible; expected 1 to 2^56 elements".to_string(),
            ));
        }
        self.take(4 + 8, name).map(drop) // type and offset
    }
}

/// Returns the bytes of a value.
fn width(kind: u32) -> u64 {
    match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        _ => 8,
    }
}

fn too_short(awaited: u64, left: usize) -> String {
    format!("the file is truncated: {awaited} bytes expected, {left} left; copy or download it again")
}
