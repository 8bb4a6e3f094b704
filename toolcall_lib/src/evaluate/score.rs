//! A count out of a total.

/// A count out of a total, such as right replies out of all replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Score {
    /// Number of cases that hold.
    pub count: usize,
    /// Number of cases that were examined.
    pub total: usize,
}

impl Score {
    /// Returns `count / total`, from 0 to 1; 0 if no case was examined.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.total.max(1) as f64
    }

    /// Counts one case.
    pub(super) fn add(&mut self, holds: bool) {
        self.count += usize::from(holds);
        self.total += 1;
    }
}
