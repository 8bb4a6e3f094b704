//! The integers of a pass (ids, positions, tile lists), gathered on the host and copied at once.

use super::buffer::{Scratch, View};
use super::driver::Driver;
use crate::error::Result;
use std::ops::Range;
use std::sync::Arc;

/// A range within [`Numbers`].
pub(crate) type Part = Range<usize>;

/// Integers, and floats as their bits, that are gathered on the host.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Vec<u32>);

impl Numbers {
    /// Appends numbers. Returns the range in which [`Numbers::upload`] will put them.
    pub fn push(&mut self, numbers: impl IntoIterator<Item = u32>) -> Part {
        let start = self.0.len();
        self.0.extend(numbers);
        start..self.0.len()
    }

    /// Returns the numbers of a part.
    #[cfg(test)]
    pub fn get(&self, part: Part) -> &[u32] {
        &self.0[part]
    }

    /// Copies all numbers to the device.
    pub fn upload(&self, driver: &Arc<dyn Driver>, room: &mut Scratch) -> Result<View> {
        let view = room.sized(driver, self.0.len())?;
        view.upload(&**driver, &self.0)?;
        Ok(view)
    }
}
