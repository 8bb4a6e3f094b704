//! The order of the data: the conversations that each optimizer step sees.
//!
//! The order is a function of the settings and the step number alone, so a resumed run sees the
//! same rows. A row is a conversation here. With `group_by_prefix`, rows that begin alike (with the
//! same tools) come in runs, because they share more of a packed tree.

use super::config::TrainConfig;
use crate::error::{Error, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;

/// Maximum number of steps of a run, and of conversations of a step. More are a mistake, and would
/// overflow the integers that count them.
const MOST: usize = u32::MAX as usize;

/// The order of the data; a function of the settings and the step alone.
#[derive(Clone, Debug)]
pub struct Order {
    /// Group number of each row; rows with the same beginning share it.
    groups: Vec<usize>,
    /// Number of rows of a step, over all ranks.
    batch: usize,
    /// Length of the runs of rows with the same beginning.
    run: usize,
    shuffle: bool,
    seed: u64,
    /// Number of optimizer steps of the whole run.
    pub total_steps: usize,
}

impl Order {
    /// Creates the order of conversations that begin with these strings, for `ranks` ranks.
    ///
    /// # Errors
    /// More conversations per step, or more steps, than can be counted.
    pub fn new(beginnings: &[String], config: &TrainConfig, ranks: usize) -> Result<Self> {
        // 1. Number the beginnings; rows with the same one form a group.
        let mut numbers = HashMap::new();
        let groups = beginnings.iter().map(|text| {
            let next = numbers.len();
            *numbers.entry(text).or_insert(next)
        });
        // 2. Rows of a step, over accumulation steps and ranks.
        let (micro, accumulated) = (
            config.per_device_train_batch_size,
            config.gradient_accumulation_steps,
        );
        let batch = micro
            .checked_mul(accumulated)
            .and_then(|batch| batch.checked_mul(ranks));
        let batch = batch.filter(|&batch| batch <= MOST).ok_or_else(|| {
            let place = "per_device_train_batch_size, gradient_accumulation_steps";
            let problem = format!(
                "their product with the number of ranks, {micro} · {accumulated} · {ranks}, is too \
                    large; expected at most {MOST}"
            );
            Error::invalid(place, problem)
        })?;
        // 3. Steps of the run; a part of an epoch is rounded up to whole steps.
        let epochs = (config.num_train_epochs * beginnings.len().div_ceil(batch) as f64).ceil() as usize;
        let (place, total_steps) = match config.max_steps {
            Some(steps) => ("max_steps", steps),
            None => ("num_train_epochs", epochs),
        };
        if total_steps > MOST {
            let problem = format!("gives {total_steps} steps, which are too many; expected at most {MOST}");
            return Err(Error::invalid(place, problem));
        }
        Ok(Self {
            groups: groups.collect(),
            batch,
            run: config.group_by_prefix,
            shuffle: config.shuffle,
            seed: config.seed,
            total_steps,
        })
    }

    /// Returns the number of conversations of a step, over all ranks.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Returns the number of steps of one pass over the data. The last one may be smaller.
    pub fn steps_per_epoch(&self) -> usize {
        self.groups.len().div_ceil(self.batch)
    }

    /// Returns the rows of optimizer step `step` (the first is 0), over all ranks.
    pub fn rows_of(&self, step: usize) -> Vec<usize> {
        let (epoch, within) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let order = self.epoch(epoch);
        let start = within * self.batch;
        order[start..order.len().min(start + self.batch)].to_vec()
    }

    /// Returns all rows in the order of one epoch. Each epoch has its own random stream.
    fn epoch(&self, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        if !self.shuffle {
            return order;
        }
        // 1. Shuffle all rows.
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch as u64);
        order.shuffle(&mut rng);
        if self.run == 1 {
            return order;
        }
        // 2. Collect groups, and cut them into runs.
        order.sort_by_key(|&row| self.groups[row]); // stable: within a group the rows stay shuffled
        let groups = order.chunk_by(|&a, &b| self.groups[a] == self.groups[b]);
        let mut runs: Vec<&[usize]> = groups.flat_map(|group| group.chunks(self.run)).collect();
        // 3. Shuffle the runs.
        runs.shuffle(&mut rng);
        runs.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates an order of 10 rows in steps of 4, for two epochs; every third row begins like the
    /// first.
    fn order(shuffle: bool, group_by_prefix: usize) -> Order {
        let config = TrainConfig {
            per_device_train_batch_size: 2,
            gradient_accumulation_steps: 2,
            num_train_epochs: 2.0,
            shuffle,
            group_by_prefix,
            ..TrainConfig::default()
        };
        let beginnings: Vec<String> = (0..10).map(|row| (row % 3).to_string()).collect();
        Order::new(&beginnings, &config, 1).unwrap()
    }

    #[test]
    fn an_epoch_sees_every_row_once_and_ends_with_a_smaller_step() {
        for group_by_prefix in [1, 2, 100] {
            let order = order(true, group_by_prefix);
            assert_eq!((order.steps_per_epoch(), order.total_steps), (3, 6));
            for epoch in 0..2 {
                let mut rows: Vec<usize> = (0..3).flat_map(|i| order.rows_of(epoch * 3 + i)).collect();
                assert_ne!(rows, (0..10).collect::<Vec<_>>());
                rows.sort_unstable();
                assert_eq!(rows, (0..10).collect::<Vec<_>>());
            }
            assert_ne!(order.rows_of(0), order.rows_of(3));
        }
    }

    #[test]
    fn without_shuffling_rows_come_as_they_stand() {
        assert_eq!(order(false, 2).rows_of(2), [8, 9]);
        assert_eq!(order(false, 2).rows_of(3), [0, 1, 2, 3]);
    }

    #[test]
    fn rows_with_the_same_beginning_come_in_runs() {
        let order = order(true, 2).epoch(0);
        let begins: Vec<usize> = order.iter().map(|row| row % 3).collect();
        let alone =
            |i: usize| begins[i] != begins[i.saturating_sub(1)] && begins.get(i + 1) != Some(&begins[i]);
        assert!(
            (1..10).filter(|&i| alone(i)).count() <= 2,
            "groups of 4, 3 and 3 leave two single rows: {begins:?}"
        );
    }
}
