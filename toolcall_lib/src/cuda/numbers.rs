//! The integers of a pass, which go to the device in one copy.

use super::buffer::{Scratch, View};
use super::driver::Driver;
use crate::error::Result;
use std::ops::Range;
use std::sync::Arc;

/// Which of the [`Numbers`].
pub(crate) type Part = Range<usize>;

/// Integers (and floats, as their bits) that are gathered on the host.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Vec<u32>);

impl Numbers {
    /// Adds some; they are found in this part of what [`Numbers::upload`] returns.
    pub fn push(&mut self, numbers: impl IntoIterator<Item = u32>) -> Part {
        let start = self.0.len();
        self.0.extend(numbers);
        start..self.0.len()
    }

    /// Copies all of them to the device.
    pub fn upload(&self, driver: &Arc<dyn Driver>, room: &mut Scratch) -> Result<View> {
        let view = room.sized(driver, self.0.len())?;
        view.upload(&**driver, &self.0)?;
        Ok(view)
    }
}
