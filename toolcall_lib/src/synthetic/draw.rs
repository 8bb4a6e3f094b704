//! Random choices that keep training and held-out values apart.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Which file a row is made for. No value or wording of one part is ever drawn in the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    HeldOut,
}

impl Part {
    /// What `[training, held out]` says for this part.
    pub(super) fn pick<T>(self, [train, held_out]: [T; 2]) -> T {
        match self {
            Self::Train => train,
            Self::HeldOut => held_out,
        }
    }
}

/// Texts to choose from, separated by ` / `: those of the training files and those of the held-out files.
pub(super) struct Pool {
    pub(super) train: &'static str,
    pub(super) held_out: &'static str,
}

/// A seeded source of choices for one part.
pub(super) struct Draw {
    pub(super) part: Part,
    pub(super) rng: ChaCha8Rng,
}

impl Draw {
    pub(super) fn new(part: Part, seed: u64) -> Self {
        Self {
            part,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// A text of this part.
    pub(super) fn of(&mut self, pool: &Pool) -> &'static str {
        let texts = self.part.pick([pool.train, pool.held_out]);
        self.one(&texts.split(" / ").collect::<Vec<_>>())
    }

    /// One of `items`, which both parts share.
    pub(super) fn one<T: Copy + Default>(&mut self, items: &[T]) -> T {
        items.choose(&mut self.rng).copied().unwrap_or_default()
    }

    /// A number from `from` to `to`. Every seventh number is held out.
    pub(super) fn number(&mut self, from: u32, to: u32) -> u32 {
        loop {
            let number = self.rng.random_range(from..=to);
            if (number % 7 == 3) == (self.part == Part::HeldOut) {
                return number;
            }
        }
    }

    /// An index below `length`, which is not 0.
    pub(super) fn index(&mut self, length: usize) -> usize {
        self.rng.random_range(0..length.max(1))
    }

    /// True once in `times`.
    pub(super) fn chance(&mut self, times: u32) -> bool {
        self.rng.random_range(0..times) == 0
    }
}
