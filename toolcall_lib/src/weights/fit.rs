//! Do the tensors of a file fit a config?

use super::Layout;
use std::collections::BTreeMap;

/// Compares the tensors that are found with what a layout asks for, and says all that is wrong at once.
pub(super) struct Fit {
    awaited: BTreeMap<String, Vec<usize>>,
    unknown: Vec<String>,
    problems: Vec<String>,
}

impl Fit {
    /// Awaits every tensor of `layout`; `name` gives its name in the file.
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

    /// A tensor of the file.
    pub fn found(&mut self, name: &str, shape: &[usize]) {
        match self.awaited.remove(name) {
            None => self.unknown.push(name.to_string()),
            Some(expected) if expected != shape => {
                self.problems.push(format!(
                    "{name} has shape {shape:?}, the config asks for {expected:?}"
                ));
            }
            Some(_) => {}
        }
    }

    /// Something else that does not fit.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// The verdict; `Err` has a line for each kind of problem.
    pub fn finish(mut self) -> Result<(), String> {
        let missing: Vec<String> = self.awaited.into_keys().collect();
        self.unknown.sort();
        for (what, names) in [("missing", missing), ("not known to the config", self.unknown)] {
            if !names.is_empty() {
                self.problems
                    .push(format!("these tensors are {what}: {}", first_of(&names, ", ")));
            }
        }
        self.problems.sort();
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "the weights do not fit:\n{}",
                first_of(&self.problems, "\n")
            ))
        }
    }
}

/// The first of many names or lines, and the number of the others.
fn first_of(list: &[String], separator: &str) -> String {
    const SHOWN: usize = 20;
    let shown = list[..list.len().min(SHOWN)].join(separator);
    match list.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}{separator}and {more} more"),
    }
}
