//! The check that the tensors of a file fit a config.

use super::Layout;
use crate::error::{MOST_LISTED, some_of};
use std::collections::BTreeMap;

/// Compares the tensors of a file with those of a layout, and reports all problems at once.
pub(super) struct Fit {
    awaited: BTreeMap<String, Vec<usize>>,
    unknown: Vec<String>,
    problems: Vec<String>,
}

impl Fit {
    /// Awaits every tensor of `layout`; `name` maps its name to the name in the file.
    pub fn new(layout: &Layout, name: impl Fn(&str) -> String) -> Self {
        let awaited = layout
            .slots()
            .iter()
            .map(|slot| (name(&slot.name), slot.shape.clone()))
            .collect();
        Self {
            awaited,
            unknown: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Checks a tensor of the file.
    pub fn found(&mut self, name: &str, shape: &[usize]) {
        match self.awaited.remove(name) {
            None => self.unknown.push(name.to_string()),
            Some(expected) if expected != shape => {
                self.problems.push(format!(
                    "{name} has shape {shape:?}, but the config expects {expected:?}"
                ));
            }
            Some(_) => {}
        }
    }

    /// Adds another problem.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Returns the verdict; the error has a line for each kind of problem.
    pub fn finish(mut self) -> Result<(), String> {
        let missing: Vec<String> = self.awaited.into_keys().collect();
        self.unknown.sort();
        for (what, names) in [("missing", missing), ("unknown to the config", self.unknown)] {
            if !names.is_empty() {
                self.problems
                    .push(format!("these tensors are {what}: {}", some_of(&names)));
            }
        }
        self.problems.sort();
        let more = self.problems.len().saturating_sub(MOST_LISTED);
        if more > 0 {
            self.problems.truncate(MOST_LISTED);
            self.problems.push(format!("… and {more} more"));
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(format!("the weights do not fit:\n{}", self.problems.join("\n")))
        }
    }
}
