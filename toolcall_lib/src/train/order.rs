//! Which rows an optimizer step sees.

use super::TrainConfig;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The order of the data; a function of the settings and the step alone, so that a resumed run sees the same rows.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    rows: usize,
    batch: usize,
    shuffle: bool,
    seed: u64,
    /// Optimizer steps of the whole run.
    pub total_steps: usize,
}

impl Order {
    /// The order of `rows` conversations.
    pub fn new(rows: usize, config: &TrainConfig) -> Self {
        let batch = config.per_device_train_batch_size * config.gradient_accumulation_steps;
        let epochs = (config.num_train_epochs * rows.div_ceil(batch) as f64).ceil() as usize;
        Self {
            rows,
            batch,
            shuffle: config.shuffle,
            seed: config.seed,
            total_steps: config.max_steps.unwrap_or(epochs),
        }
    }

    /// Steps of one pass over the data; the last may be smaller.
    pub fn steps_per_epoch(&self) -> usize {
        self.rows.div_ceil(self.batch)
    }

    /// Rows of optimizer step `step`, the first being 0.
    pub fn rows_of(&self, step: usize) -> Vec<usize> {
        let (epoch, within) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let mut order: Vec<usize> = (0..self.rows).collect();
        if self.shuffle {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(epoch as u64);
            order.shuffle(&mut rng);
        }
        let start = within * self.batch;
        order[start..self.rows.min(start + self.batch)].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(shuffle: bool) -> Order {
        let config = TrainConfig {
            per_device_train_batch_size: 2,
            gradient_accumulation_steps: 2,
            num_train_epochs: 2.0,
            shuffle,
            ..TrainConfig::default()
        };
        Order::new(10, &config)
    }

    #[test]
    fn an_epoch_sees_every_row_once_and_ends_with_a_smaller_step() {
        let order = order(true);
        assert_eq!((order.steps_per_epoch(), order.total_steps), (3, 6));
        for epoch in 0..2 {
            let mut rows: Vec<usize> = (0..3).flat_map(|i| order.rows_of(epoch * 3 + i)).collect();
            assert_ne!(rows, (0..10).collect::<Vec<_>>());
            rows.sort_unstable();
            assert_eq!(rows, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(order.rows_of(0), order.rows_of(3));
    }

    #[test]
    fn without_shuffling_rows_come_as_they_stand() {
        assert_eq!(order(false).rows_of(2), [8, 9]);
        assert_eq!(order(false).rows_of(3), [0, 1, 2, 3]);
    }
}
