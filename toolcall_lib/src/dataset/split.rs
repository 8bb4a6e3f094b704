//! Duplicates, and a split that none of them crosses.

use super::Dataset;
use crate::error::{Error, Result, short};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;

impl Dataset {
    /// Returns the dataset without repeated rows (same messages and same tools). The first of each
    /// stays.
    pub fn dedup(&self) -> Self {
        let mut seen = HashSet::new();
        let first = (0..self.rows.len()).filter(|&row| seen.insert(identity(&self.rows[row])));
        Self {
            notes: self.notes.clone(),
            files: self.files.clone(),
            ..self.select(&first.collect::<Vec<_>>())
        }
    }

    /// Splits into a part to train on and a held-out part with about `fraction` of the *different*
    /// conversations (at least one). All rows with the same messages go to the same part, so
    /// nothing that is held out is trained on. The same seed gives the same split; both parts keep
    /// the order of the rows.
    ///
    /// # Errors
    /// `fraction` is not between 0 and 1, or there are fewer than two different conversations.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Self, Self)> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(Error::invalid(
                "fraction",
                format!("{}; expected a number between 0 and 1", short(fraction)),
            ));
        }
        let keys: Vec<String> = self.rows.iter().map(|row| identity(&row.messages)).collect();
        let mut seen = HashSet::new();
        let mut different: Vec<&String> = keys.iter().filter(|key| seen.insert(*key)).collect();
        if different.len() < 2 {
            let problem = format!(
                "{} different conversations; a split needs two or more",
                different.len()
            );
            return Err(Error::invalid("dataset", problem));
        }
        different.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let count = (fraction * different.len() as f64).round() as usize;
        let held_out: HashSet<&String> = different[..count.clamp(1, different.len() - 1)]
            .iter()
            .copied()
            .collect();
        let (held_out, train): (Vec<usize>, Vec<usize>) =
            (0..keys.len()).partition(|&row| held_out.contains(&keys[row]));
        Ok((self.select(&train), self.select(&held_out)))
    }

    /// Counts the different rows, as [`Dataset::dedup`] does.
    pub(super) fn different(&self) -> usize {
        self.rows.iter().map(identity).collect::<HashSet<_>>().len()
    }
}

/// Returns the JSON with sorted keys and without the ids of calls: the order of arguments and the
/// ids do not make another conversation.
pub(super) fn identity<T: Serialize>(value: T) -> String {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    let messages = if value.is_object() {
        &mut value["messages"]
    } else {
        &mut value
    };
    for message in messages
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        message.shift_remove("tool_call_id");
        let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten().filter_map(Value::as_object_mut) {
            call.shift_remove("id");
        }
    }
    value.sort_all_objects();
    value.to_string()
}
