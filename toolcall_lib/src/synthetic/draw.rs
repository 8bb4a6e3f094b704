//! A seeded source of choices.

use jiff::civil::Date;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded source of choices.
pub(super) struct Draw {
    rng: ChaCha8Rng,
    /// The days that the system prompt names, today first; dates are drawn from them half of the
    /// time.
    pub(super) week: Vec<Date>,
}

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            week: Vec::new(),
        }
    }

    /// One of `items`, if there is any.
    pub(super) fn one<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.choose(&mut self.rng)
    }

    /// One of `texts`; empty if there is none.
    pub(super) fn text<T: AsRef<str>>(&mut self, texts: &[T]) -> String {
        self.one(texts)
            .map_or(String::new(), |text| text.as_ref().to_string())
    }

    /// An index below `length`, or 0.
    pub(super) fn index(&mut self, length: usize) -> usize {
        self.rng.random_range(0..length.max(1))
    }

    /// The index of one of these weights, in proportion to them.
    pub(super) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.rng.random_range(0.0..1.0) * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len().saturating_sub(1)
    }

    /// A number from `low` to `high`.
    pub(super) fn number(&mut self, low: i64, high: i64) -> i64 {
        self.rng.random_range(low..=high.max(low))
    }

    /// A fraction from `low` to `high`.
    pub(super) fn fraction(&mut self, low: f64, high: f64) -> f64 {
        low + self.rng.random_range(0.0..1.0) * (high - low)
    }

    /// True once in `times`.
    pub(super) fn chance(&mut self, times: u32) -> bool {
        self.rng.random_range(0..times.max(1)) == 0
    }

    /// True in `percent` of 100 cases.
    pub(super) fn percent(&mut self, percent: f64) -> bool {
        self.rng.random_range(0.0..100.0) < percent
    }

    /// Mixes the items.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        items.shuffle(&mut self.rng);
    }
}
