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
use draw::{Draw, Part};
use rows::Rows;
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

/// Makes all files and writes them into `folder`; returns their paths. `toolcall data` is this function.
pub fn write_all(folder: impl AsRef<Path>, seed: u64) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let write = |file: MadeFile| {
        let path = folder.join(file.name);
        file.data.save(&path)?;
        Ok(path)
    };
    make(seed)?.into_iter().map(write).collect()
}
