//! The integers of a pass (ids, positions, tile lists), gathered on the host and copied at once.

use super::buffer::{Scratch, View};
use super::driver::Driver;
use crate::error::Result;
use std::iter::once;
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

    /// Appends the starts of lists of these lengths that lie one after the other, and the end of
    /// the last: list `i` is `starts[i]..starts[i + 1]`.
    pub fn push_starts(&mut self, lens: impl IntoIterator<Item = usize>) -> Part {
        let ends = lens.into_iter().scan(0, |end, len| {
            *end += len as u32;
            Some(*end)
        });
        self.push(once(0).chain(ends))
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
