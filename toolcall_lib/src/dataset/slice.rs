//! Parts of a split, as the library `datasets` writes them: `train[:20%]`, `train[100:200]`.

use super::table::{Row, Table};
use std::fmt;
use std::ops::Range;

/// Rows of a split, from one boundary to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    from: Option<i64>,
    to: Option<i64>,
    /// Boundaries are hundredths of all rows, not numbers of rows.
    percent: bool,
}

const EXPECTED: &str = "expected a split such as train, train[:20%] or train[100:200]";

/// Takes a split apart into its name and the slice after it.
pub(crate) fn parts(split: &str) -> Result<(&str, Option<Slice>), String> {
    if split.contains('+') {
        let advice = "name each of them as its own data set";
        return Err(format!("the splits `{split}` cannot be combined; {advice}"));
    }
    let Some((name, rest)) = split.split_once('[') else {
        return Ok((split, None));
    };
    let slice = rest.strip_suffix(']').and_then(Slice::parse);
    match slice.filter(|_| !name.is_empty()) {
        Some(slice) => Ok((name, Some(slice))),
        None => Err(format!("`{split}` cannot be read; {EXPECTED}")),
    }
}

impl Slice {
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once(':')?;
        let percent = [from, to].map(|bound| (!bound.is_empty()).then(|| bound.ends_with('%')));
        let percent = match percent {
            [Some(one), Some(other)] if one != other => return None,
            [one, other] => one.or(other).unwrap_or(false),
        };
        let number = |bound: &str| match bound.strip_suffix('%').unwrap_or(bound) {
            "" => bound.is_empty().then_some(None),
            digits => digits.replace('_', "").parse::<i64>().ok().map(Some),
        };
        let (from, to) = (number(from)?, number(to)?);
        let is_sound = |bound: i64| !percent || (-100..=100).contains(&bound);
        let sound = [from, to].into_iter().flatten().all(is_sound);
        sound.then_some(Self { from, to, percent })
    }

    /// Returns the range of the slice in this many rows. Negative boundaries count from the end,
    /// and hundredths are rounded, as in `datasets`.
    fn range(&self, rows: usize) -> Range<usize> {
        let place = |bound: i64| {
            let rows = rows as i64;
            let bound = match self.percent {
                true => (bound as f64 * rows as f64 / 100.0).round_ties_even() as i64,
                false => bound,
            };
            let bound = if bound < 0 { rows + bound } else { bound };
            bound.clamp(0, rows) as usize
        };
        self.from.map_or(0, place)..self.to.map_or(rows, place)
    }

    /// Keeps the rows of the slice; returns how many are left out.
    pub(super) fn keep(&self, tables: &mut [Table]) -> usize {
        let rows: usize = tables.iter().map(|table| table.rows.len()).sum();
        let (range, mut places) = (self.range(rows), 0..rows);
        for table in tables {
            let is_kept = |_: &Row| places.next().is_some_and(|place| range.contains(&place));
            table.rows.retain(is_kept);
        }
        rows - range.len()
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.percent { "%" } else { "" };
        let bound = |bound: Option<i64>| bound.map_or_else(String::new, |bound| format!("{bound}{sign}"));
        write!(f, "[{}:{}]", bound(self.from), bound(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_the_rows_that_datasets_takes() {
        for (split, rows, expected) in [
            ("train[:20%]", 10, 0..2),
            ("train[-10%:]", 10, 9..10),
            ("train[:80%]", 7, 0..6),
            ("train[:50%]", 5, 0..2), // 2.5 is rounded to the even number
            ("train[100:200]", 150, 100..150),
            ("train[1_0:-5]", 20, 10..15),
            ("train[:]", 3, 0..3),
            ("train[-9:]", 3, 0..3),
        ] {
            let (name, slice) = parts(split).unwrap();
            assert_eq!((name, slice.unwrap().range(rows)), ("train", expected), "{split}");
        }
        assert_eq!(parts("validation"), Ok(("validation", None)));
        assert_eq!(parts("train[:20%]").unwrap().1.unwrap().to_string(), "[:20%]");
        for wrong in [
            "train[all]",
            "train[5]",
            "train[:20",
            "train[1:20%]",
            "train[:120%]",
            "[1:2]",
            "train[:%]",
            "train[:20%%]",
            "train[-9223372036854775808%:]",
        ] {
            assert!(
                parts(wrong).unwrap_err().contains("expected a split such as"),
                "{wrong}"
            );
        }
        assert!(parts("train+test").unwrap_err().contains("cannot be combined"));
    }
}
