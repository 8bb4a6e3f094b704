//! The name that somebody may have meant.

use super::fields::fields;
use super::given::Given;
use super::table::rows;

/// Says that a name is not known, and the nearest one that is.
pub(super) fn unknown(name: &str, given: &Given) -> String {
    let problem = "is not a setting";
    match nearest(name) {
        Some(known) => format!("{problem}; did you mean `{}`?", given.shown(known)),
        None => format!("{problem}; docs/settings.md lists those that are"),
    }
}

/// The known name with the fewest letters that differ; none if they are too many.
fn nearest(name: &str) -> Option<&'static str> {
    let ours = fields().iter().map(|field| field.name.as_str());
    let theirs = rows().flat_map(|row| row.names.iter().copied());
    let lowered = name.to_lowercase();
    let distance = |known: &str| strsim::osa_distance(known, &lowered);
    let most = match name.len() {
        0..=4 => 1,
        5..=9 => 2,
        _ => 3,
    };
    let closest = ours.chain(theirs).min_by_key(|known| distance(known));
    closest.filter(|known| distance(known) <= most)
}
