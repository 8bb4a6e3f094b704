//! Makes broken inputs: valid ones, changed a few times. The same seed, target and number give the
//! same input.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

/// Most bytes of an input.
const LONGEST: usize = 1 << 18;

/// Kind of text that a target reads. It decides which changes are worth trying.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Json,
    /// Text with words that the target knows.
    Text(&'static [&'static str]),
    /// Bytes whose first part is a header of numbers and names.
    Binary,
    /// Eight bytes of length, a header of JSON of that length, then numbers.
    Safetensors,
}

/// Returns the input of this number.
pub fn input(kind: Kind, seeds: &[Vec<u8>], seed: u64, target: &str, number: u64) -> Vec<u8> {
    let name = target.bytes().fold(seed, |hash, byte| {
        hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte)
    });
    let mut rng = ChaCha8Rng::seed_from_u64(name);
    rng.set_stream(number);
    let mut bytes = seeds.choose(&mut rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..=4) {
        bytes = match kind {
            Kind::Json => match rng.random_range(0..4) {
                0 => change_bytes(&mut rng, bytes, seeds, usize::MAX),
                _ => change_json(&mut rng, bytes),
            },
            Kind::Text(words) => match rng.random_range(0..3) {
                0 => change_bytes(&mut rng, bytes, seeds, usize::MAX),
                _ => change_words(&mut rng, bytes, words),
            },
            Kind::Binary => {
                let header = if rng.random_bool(0.9) { 1 << 13 } else { usize::MAX };
                change_bytes(&mut rng, bytes, seeds, header)
            }
            Kind::Safetensors => change_safetensors(&mut rng, bytes, seeds),
        };
        bytes.truncate(LONGEST);
    }
    bytes
}

/// Numbers at the ends of ranges.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    7,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 24,
    1 << 33,
    1 << 60,
    1 << 63,
    u64::MAX,
];

/// Changes bytes within the first `within`: flips, cuts, copies, numbers, parts of another seed.
fn change_bytes(rng: &mut ChaCha8Rng, mut bytes: Vec<u8>, seeds: &[Vec<u8>], within: usize) -> Vec<u8> {
    if bytes.is_empty() {
        return vec![rng.random()];
    }
    let at = rng.random_range(0..bytes.len().min(within));
    let len = rng.random_range(1..=64).min(bytes.len() - at);
    match rng.random_range(0..9) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = rng.random(),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..at + len)),
        4 => {
            let part = bytes[at..at + len].to_vec();
            let times = rng.random_range(1..40);
            bytes.splice(at..at, part.repeat(times));
        }
        5 | 6 => {
            let number = *NUMBERS.choose(rng).unwrap_or(&0);
            let width = [1, 2, 4, 8][rng.random_range(0..4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        }
        7 => {
            let other = seeds.choose(rng).cloned().unwrap_or_default();
            let from = rng.random_range(0..=other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => {
            // Digits become other digits.
            let digits = bytes.iter().skip(at).position(u8::is_ascii_digit).map(|i| at + i);
            if let Some(first) = digits {
                let end = bytes[first..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit())
                    .count();
                let other = [
                    "0",
                    "-1",
                    "1e308",
                    "-1e-308",
                    "4294967296",
                    "18446744073709551616",
                    "0.5",
                    "1e400",
                ];
                let other = other.choose(rng).unwrap_or(&"0");
                bytes.splice(first..first + end, other.bytes());
            }
        }
    }
    bytes
}

/// Inserts words of the target's language, or repeats a piece very often.
fn change_words(rng: &mut ChaCha8Rng, bytes: Vec<u8>, words: &[&str]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    let mut at = rng.random_range(0..=text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let word = words.choose(rng).unwrap_or(&"");
    match rng.random_range(0..4) {
        0 | 1 => text.insert_str(at, word),
        2 => text.insert_str(at, &word.repeat(rng.random_range(2..500))),
        _ => {
            let mut end = (at + rng.random_range(1..30)).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            text.replace_range(at..end, word);
        }
    }
    text.into_bytes()
}

/// Makes a length, a header and data, with the header changed as JSON; the length sometimes stays
/// unchanged.
fn change_safetensors(rng: &mut ChaCha8Rng, bytes: Vec<u8>, seeds: &[Vec<u8>]) -> Vec<u8> {
    let Some((len, rest)) = bytes.split_first_chunk::<8>() else {
        return change_bytes(rng, bytes, seeds, usize::MAX);
    };
    let old = u64::from_le_bytes(*len);
    let header = usize::try_from(old).ok().filter(|&len| len <= rest.len());
    match (rng.random_range(0..4), header) {
        (0, _) | (_, None) => change_bytes(rng, bytes, seeds, usize::MAX),
        (1, Some(_)) => change_bytes(rng, bytes, seeds, 8),
        (_, Some(end)) => {
            let header = change_json(rng, rest[..end].to_vec());
            let len = if rng.random_bool(0.1) {
                old
            } else {
                header.len() as u64
            };
            [&len.to_le_bytes()[..], &header, &rest[end..]].concat()
        }
    }
}

/// Changes one place of a JSON text; a text that is not JSON is cut.
fn change_json(rng: &mut ChaCha8Rng, bytes: Vec<u8>) -> Vec<u8> {
    let Ok(mut json) = serde_json::from_slice::<Value>(&bytes) else {
        let len = rng.random_range(0..=bytes.len());
        return bytes[..len].to_vec();
    };
    let other = pick(rng, &json).clone();
    let place = pick_mut(rng, &mut json);
    match rng.random_range(0..10) {
        0..=3 => *place = value(rng),
        4 => *place = other,
        5 => *place = nested(rng, std::mem::take(place)),
        6 => repeat(rng, place),
        7 => rename(rng, place),
        8 => remove(rng, place),
        _ => {
            let text = json.to_string();
            return double_a_key(rng, &text).into_bytes();
        }
    }
    json.to_string().into_bytes()
}

/// Picks a place in the tree, deeper ones as likely as others.
fn pick<'a>(rng: &mut ChaCha8Rng, json: &'a Value) -> &'a Value {
    let mut place = json;
    loop {
        let inner: Vec<&Value> = match place {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            _ => return place,
        };
        match inner.choose(rng) {
            Some(next) if rng.random_bool(0.8) => place = next,
            _ => return place,
        }
    }
}

fn pick_mut<'a>(rng: &mut ChaCha8Rng, mut place: &'a mut Value) -> &'a mut Value {
    loop {
        let len = match &*place {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        };
        if len == 0 || rng.random_bool(0.2) {
            return place;
        }
        let index = rng.random_range(0..len);
        place = match place {
            Value::Array(items) => &mut items[index],
            Value::Object(fields) => fields.values_mut().nth(index).unwrap(),
            _ => unreachable!("it has no parts"),
        };
    }
}

/// Returns a value unlike the ones in the seeds.
fn value(rng: &mut ChaCha8Rng) -> Value {
    match rng.random_range(0..12) {
        0 => Value::Null,
        1 => json!(rng.random::<bool>()),
        2 | 3 => json!(NUMBERS.choose(rng).copied().unwrap_or(0)),
        4 => json!(-(NUMBERS.choose(rng).copied().unwrap_or(0).min(i64::MAX as u64) as i64)),
        5 => json!(
            *[0.5, -0.0, 1e308, -1e308, 5e-324, 1e-8, 0.1, 123456789.0]
                .choose(rng)
                .unwrap_or(&0.0)
        ),
        6 => json!([]),
        7 => json!({}),
        8 => json!("a".repeat(*[0, 1, 100, 70_000].choose(rng).unwrap_or(&0))),
        9 => json!(
            *[
                "\u{0}",
                "\u{1b}[2J",
                "\u{202e}",
                "../../etc/passwd",
                "{{",
                "</tool_call>",
                "NaN",
                "1e999",
                "{\"a\":",
                "ä漢👍🏽"
            ]
            .choose(rng)
            .unwrap_or(&"")
        ),
        10 => json!([1, "2", null, [3], {"a": 4}]),
        _ => json!({"type": "string", "role": "user", "content": "x", "name": "y", "": 1}),
    }
}

fn nested(rng: &mut ChaCha8Rng, mut value: Value) -> Value {
    for _ in 0..*[1, 3, 60, 140].choose(rng).unwrap_or(&1) {
        value = if rng.random::<bool>() {
            json!([value])
        } else {
            json!({"a": value})
        };
    }
    value
}

fn repeat(rng: &mut ChaCha8Rng, place: &mut Value) {
    let times = *[2, 10, 300].choose(rng).unwrap_or(&2);
    match place {
        Value::Array(items) => *items = items.iter().cycle().take(items.len() * times).cloned().collect(),
        Value::Object(fields) => {
            let more: Map<String, Value> = (0..times)
                .flat_map(|i| {
                    fields
                        .iter()
                        .map(move |(name, value)| (format!("{name}{i}"), value.clone()))
                })
                .collect();
            fields.extend(more);
        }
        Value::String(text) => *text = text.repeat(times),
        other => *other = Value::Array(vec![other.clone(); times]),
    }
}

fn rename(rng: &mut ChaCha8Rng, place: &mut Value) {
    let Value::Object(fields) = place else { return };
    let names: Vec<String> = fields.keys().cloned().collect();
    let Some(name) = names.choose(rng) else { return };
    let value = fields.remove(name).unwrap_or_default();
    let other = match rng.random_range(0..3) {
        0 => name.to_uppercase(),
        1 => format!("{name}s"),
        _ => names.choose(rng).cloned().unwrap_or_default(),
    };
    fields.insert(other, value);
}

fn remove(rng: &mut ChaCha8Rng, place: &mut Value) {
    match place {
        Value::Array(items) if !items.is_empty() => drop(items.remove(rng.random_range(0..items.len()))),
        Value::Object(fields) if !fields.is_empty() => {
            let name = fields.keys().nth(rng.random_range(0..fields.len())).cloned();
            drop(fields.remove(&name.unwrap_or_default()));
        }
        other => *other = Value::Null,
    }
}

/// Writes a key a second time, which no JSON library does.
fn double_a_key(rng: &mut ChaCha8Rng, text: &str) -> String {
    let keys: Vec<usize> = text.match_indices("\":").map(|(at, _)| at).collect();
    let Some(&end) = keys.choose(rng) else {
        return text.to_string();
    };
    let start = text[..end].rfind('"').unwrap_or(0);
    format!(
        "{}{}\":null,{}",
        &text[..start],
        &text[start..end],
        &text[start..]
    )
}
