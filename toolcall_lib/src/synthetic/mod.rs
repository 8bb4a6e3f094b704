//! Makes the files in `data/`: seeded, deterministic conversations with tools.
//!
//! Training and held-out files share no value, wording or request; see `data/README.md` for what each holds.

mod customer;
mod draw;
mod rows;
mod span;
mod talk;
mod timers;
mod varied;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::files;
use draw::{Draw, Part};
use rows::Rows;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The seed of the committed files.
pub const SEED: u64 = 42;

/// A file that the generator makes.
#[derive(Clone, Debug)]
pub struct MadeFile {
    /// Its name in the data folder.
    pub name: &'static str,
    /// Its rows.
    pub data: Dataset,
    /// The kinds of rows in it, with their numbers.
    pub kinds: Vec<(&'static str, usize)>,
}

/// Makes all files. The same seed gives the same rows.
pub fn make(seed: u64) -> Result<Vec<MadeFile>> {
    type Fill = fn(&mut Rows) -> Result<()>;
    let files: [(&'static str, Part, Fill); 6] = [
        ("tool_augmented_dataset.json", Part::Train, timers::fill),
        ("tool_heldout.json", Part::HeldOut, timers::fill),
        ("tool_varied_dataset.json", Part::Train, varied::fill),
        ("varied_heldout.json", Part::HeldOut, varied::fill),
        (
            "customer_tool_augmented_dataset.json",
            Part::Train,
            customer::fill,
        ),
        ("customer_heldout.json", Part::HeldOut, customer::fill),
    ];
    let make = |(name, part, fill): (&'static str, Part, Fill)| {
        let mut rows = Rows::new(Draw::new(part, seed));
        fill(&mut rows)?;
        let (data, kinds) = rows.finish();
        Ok(MadeFile { name, data, kinds })
    };
    files.into_iter().map(make).collect()
}

/// Makes all files and writes them into `folder`; returns their paths. `toolcall data` is this
/// function. Files that are there as they would be written stay.
///
/// # Errors
/// Without `overwrite`, files with other content: they are named, and nothing is written.
pub fn write_all(folder: impl AsRef<Path>, seed: u64, overwrite: bool) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let (mut paths, mut new, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for file in make(seed)? {
        let (path, text) = (folder.join(file.name), file.data.to_json()?);
        match std::fs::read(&path) {
            Ok(there) if there == text.as_bytes() => {}
            Err(error) if error.kind() == ErrorKind::NotFound => new.push((path.clone(), text)),
            _ => {
                others.push(path.display().to_string());
                new.push((path.clone(), text));
            }
        }
        paths.push(path);
    }
    if !others.is_empty() && !overwrite {
        let problem = "hold something else than would be written there: they were edited, or made with another seed. \
                       Choose another folder, or replace them with --overwrite";
        return Err(Error::invalid(others.join(", "), problem));
    }
    new.iter().try_for_each(|(path, text)| files::write(path, text))?;
    Ok(paths)
}
