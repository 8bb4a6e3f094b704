//! Identifies the run of a checkpoint by its settings and data, to compare them when a run resumes.

use super::config::TrainConfig;
use crate::error::Result;
use crate::files::hex;
use crate::model::Model;
use crate::tokens::Sequence;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt::Display;

/// Settings that change what is learnt and may change without a note: the batch is compared as a
/// whole, `lora` has a separate check, and patience only says when the run stops.
const MAY_CHANGE: [&str; 4] = [
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lora",
    "early_stopping_patience",
];

/// Settings and data of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    settings: Map<String, Value>,
    /// The model of an adapter.
    base: Option<String>,
    /// Conversations of a step, on all ranks.
    batch: usize,
    conversations: usize,
    /// A checksum of their tokens.
    data: String,
}

impl Identity {
    pub fn new(model: &Model, rows: &[Vec<Sequence>], config: &TrainConfig, batch: usize) -> Result<Self> {
        let mut settings = config.learnt()?;
        settings.retain(|name, _| !MAY_CHANGE.contains(&name.as_str()));
        Ok(Self {
            settings,
            base: model.decoder.adapter.as_ref().map(|adapter| adapter.base.clone()),
            batch,
            conversations: rows.len(),
            data: checksum(rows),
        })
    }

    /// Describes each difference from the run of a checkpoint. This run's own settings and data are
    /// used in any case.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, now: &dyn Display, then: &dyn Display| {
            found.push(format!("{what}: {now} from here on, {then} before"));
        };
        for (name, now) in &self.settings {
            match before.settings.get(name) {
                Some(then) if then != now => compare(name, now, then),
                _ => {}
            }
        }
        if self.batch != before.batch {
            compare("conversations of a step", &self.batch, &before.batch);
        }
        if let (Some(now), Some(then)) = (&self.base, &before.base)
            && now != then
        {
            compare("model of the adapter", now, then);
        }
        if self.data != before.data {
            let now = format!("{} others", self.conversations);
            compare("conversations to train on", &now, &before.conversations);
        }
        found
    }
}

fn checksum(rows: &[Vec<Sequence>]) -> String {
    let mut hash = Sha256::new();
    for sequences in rows {
        hash.update((sequences.len() as u64).to_le_bytes());
        for sequence in sequences {
            hash.update((sequence.ids.len() as u64).to_le_bytes());
            sequence.ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
            sequence
                .trained
                .iter()
                .for_each(|&trained| hash.update([u8::from(trained)]));
        }
    }
    hex(&hash.finalize())
}
