//! Sources of data: files, folders, and data sets on the hub.
//!
//! ```no_run
//! use toolcall_lib::data_source::DataSource;
//! use toolcall_lib::dataset::Dataset;
//!
//! let source: DataSource = DataSource::named("Salesforce/xlam-function-calling-60k")?;
//! let data: Dataset = source.load()?;
//! println!("{}", data.files()[0]);
//! # Ok::<(), toolcall_lib::Error>(())
//! ```

mod card;
mod layout;

use crate::dataset::{Dataset, Options, Slice, find, is_same, load, split_parts};
use crate::error::{Error, Result};
use crate::files::names::CARD;
use crate::tool::ToolSchema;
use crate::weights::hub::{Hub, HubId};
use card::Config;
use layout::{Chosen, Wish};
use std::fmt;
use std::path::{Path, PathBuf};

/// Prefix of a data set's name on the hub where files are expected.
const ON_THE_HUB: &str = "hub:";
/// Most files of a folder and of the folders in it.
const MOST_FILES: usize = 100_000;
/// Most levels of folders in folders.
const DEEPEST: usize = 32;

/// A data set that a user names, and the part of it that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSource {
    /// Place of the data set.
    pub place: Place,
    /// The config, which the hub calls a subset too; `None` for the only one or the default.
    pub config: Option<String>,
    /// The split, or a part of it such as `train[:20%]` or `train[100:200]`. `None` stands for
    /// `train` on the hub and in a folder, and for all rows of a file.
    pub split: Option<String>,
    /// Columns that are read; `None` for all.
    pub columns: Option<Vec<String>>,
    /// Tools of the rows that name none.
    pub tools: Vec<ToolSchema>,
}

/// Place of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file: JSON, JSONL, Parquet or CSV.
    File(PathBuf),
    /// A folder that is laid out like a repository of the hub.
    Folder(PathBuf),
    /// A repository of the hub, such as `google/mobile-actions`.
    Hub(HubId),
}

impl DataSource {
    /// Reads a place for which files are expected: a path, or `hub:owner/name`, which may go on
    /// with `@revision`, and then with `:split` or `:config:split`.
    ///
    /// # Errors
    /// `hub:` is followed by something else.
    pub fn of_path(spec: &str) -> Result<Self> {
        let Some(named) = spec.strip_prefix(ON_THE_HUB) else {
            let path = PathBuf::from(spec);
            return Ok(Self::at(if path.is_dir() {
                Place::Folder(path)
            } else {
                Place::File(path)
            }));
        };
        let slice = named.find('[').unwrap_or(named.len());
        let (named, slice) = named.split_at(slice); // a slice has its own colon
        let parts: Vec<&str> = named.split(':').collect();
        let (config, split) = match parts[1..] {
            [] if !slice.is_empty() => {
                return Err(Error::invalid(spec, "expected hub:owner/name:split[from:to]"));
            }
            [] => (None, None),
            [split] => (None, Some(split)),
            [config, split] => (Some(config), Some(split)),
            _ => return Err(Error::invalid(spec, "expected hub:owner/name:config:split")),
        };
        let id = HubId::parse(parts[0])
            .ok_or_else(|| Error::invalid(spec, "expected hub:owner/name, or hub:owner/name@revision"))?;
        Ok(Self {
            config: config.map(String::from),
            split: split.map(|split| format!("{split}{slice}")),
            ..Self::at(Place::Hub(id))
        })
    }

    /// Reads the name of a data set: a file or a folder that is here, a name that ends like those
    /// of data files, or `hub:…` ([`DataSource::of_path`]). Any other name is `owner/name` on the
    /// hub, perhaps with `@revision`.
    ///
    /// # Errors
    /// It is neither an existing file or folder nor a hub id.
    pub fn named(name: &str) -> Result<Self> {
        if layout::stored_as(name).is_some() || name.starts_with(ON_THE_HUB) || Path::new(name).exists() {
            return Self::of_path(name);
        }
        let id = HubId::parse(name).ok_or_else(|| {
            Error::invalid(
                name,
                "there is no such file or folder, and a hub id has the form owner/name",
            )
        })?;
        Ok(Self::at(Place::Hub(id)))
    }

    /// Returns the source for a file, even if the file is not there.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::File(path.into()))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            config: None,
            split: None,
            columns: None,
            tools: Vec::new(),
        }
    }

    /// Loads and checks the rows; a data set on the hub is downloaded first, unless it is in the
    /// cache ([`Hub::from_env`]).
    ///
    /// # Errors
    /// Errors of [`Dataset::load`] and [`Hub::dataset`], and a config or a split that does not
    /// exist.
    pub fn load(&self) -> Result<Dataset> {
        match &self.place {
            Place::Hub(_) => self.load_from(&Hub::from_env()?),
            Place::File(file) => self.load_file(file),
            Place::Folder(folder) => self.load_listed(&names(folder)?, within(folder)),
        }
    }

    /// Does the same as [`DataSource::load`], with another hub than that of the environment.
    pub fn load_from(&self, hub: &Hub) -> Result<Dataset> {
        match &self.place {
            Place::Hub(id) => {
                let found = hub.dataset(id)?;
                self.load_listed(found.names(), |names| found.fetch(names))
            }
            _ => self.load(),
        }
    }

    fn load_file(&self, file: &PathBuf) -> Result<Dataset> {
        if let Some(config) = &self.config {
            let problem = format!("a file has no configs; leave out the config `{config}`");
            return Err(Error::invalid(file.display(), problem));
        }
        let (split, slice) = self.part()?;
        let options = Options {
            split,
            by_rows: split.is_some(),
            is_all: split.is_some_and(|split| is_same(split, layout::USUAL)), // as in `datasets`
            slice,
            tools: &self.tools,
            columns: self.columns.as_deref(),
        };
        load(std::slice::from_ref(file), options)
    }

    /// The name of the split, and the part of it to read.
    fn part(&self) -> Result<(Option<&str>, Option<Slice>)> {
        let Some(split) = &self.split else {
            return Ok((None, None));
        };
        let (name, slice) = split_parts(split).map_err(|problem| Error::invalid(&self.place, problem))?;
        Ok((Some(name), slice))
    }

    /// Loads another split of a folder or of a data set on the hub; `None` if neither the names of
    /// its files nor its rows say that there is one. A file has none.
    ///
    /// # Errors
    /// Errors of [`DataSource::load`].
    pub fn load_split(&self, split: &str) -> Result<Option<Dataset>> {
        let other = Self {
            split: Some(split.to_string()),
            ..self.clone()
        };
        let found = match &self.place {
            Place::File(_) => return Ok(None),
            Place::Folder(folder) => other.find_listed(&names(folder)?, within(folder)),
            Place::Hub(id) => {
                let found = Hub::from_env()?.dataset(id)?;
                other.find_listed(found.names(), |names| found.fetch(names))
            }
        };
        Ok(found?.ok())
    }

    /// Loads the part to read of the files with these names.
    fn load_listed(
        &self,
        names: &[String],
        fetch: impl Fn(&[String]) -> Result<Vec<PathBuf>>,
    ) -> Result<Dataset> {
        self.find_listed(names, fetch)?
    }

    /// Does the same; the inner error is why there is no such part.
    fn find_listed(
        &self,
        names: &[String],
        fetch: impl Fn(&[String]) -> Result<Vec<PathBuf>>,
    ) -> Result<Result<Dataset>> {
        let Chosen {
            files,
            split,
            by_rows,
        } = match self.choose(names, &fetch)? {
            Ok(chosen) => chosen,
            Err(problem) => return Ok(Err(Error::invalid(&self.place, problem))),
        };
        let options = Options {
            split: Some(&split),
            by_rows,
            is_all: false,
            slice: self.part()?.1,
            tools: &self.tools,
            columns: self.columns.as_deref(),
        };
        find(&fetch(&files)?, options)
    }

    /// Chooses among files with these names; the inner error is why none can be chosen.
    fn choose(
        &self,
        names: &[String],
        fetch: impl Fn(&[String]) -> Result<Vec<PathBuf>>,
    ) -> Result<std::result::Result<Chosen, String>> {
        // The head of the card may say which files belong to which split.
        let has_card = names.iter().any(|name| name == CARD);
        let card = if has_card {
            fetch(&[CARD.to_string()])?
        } else {
            Vec::new()
        };
        let configs: Vec<Config> = card.first().map_or(Ok(Vec::new()), |card| card::read(card))?;
        let wish = Wish {
            config: self.config.as_deref(),
            split: self.part()?.0,
        };
        Ok(layout::choose(names, &configs, wish))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Hub(id) => write!(f, "{id}"),
        }
    }
}

/// Finds files of a folder by their names.
fn within(folder: &Path) -> impl Fn(&[String]) -> Result<Vec<PathBuf>> {
    move |names| Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// Returns the paths of the files of a folder, with `/`, in the order of their names.
fn names(folder: &Path) -> Result<Vec<String>> {
    let (mut names, mut open) = (Vec::new(), vec![(folder.to_path_buf(), String::new(), 0)]);
    while let Some((inner, before, depth)) = open.pop() {
        for entry in std::fs::read_dir(&inner).map_err(Error::io(&inner))? {
            let entry = entry.map_err(Error::io(&inner))?;
            let name = format!("{before}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() && depth < DEEPEST {
                open.push((entry.path(), format!("{name}/"), depth + 1));
            } else {
                names.push(name);
            }
            if names.len() > MOST_FILES {
                let problem = format!("has more than {MOST_FILES} files; give the files by name");
                return Err(Error::invalid(folder.display(), problem));
            }
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_ends_like_a_data_file_is_one_even_if_it_is_not_there() {
        for name in ["a.json", "my/a.jsonl", "my/a.ndjson", "my/a.parquet", "my/a.csv"] {
            assert_eq!(DataSource::named(name).unwrap(), DataSource::file(name), "{name}");
        }
        let source = DataSource::named("my/tools").unwrap();
        assert!(matches!(source.place, Place::Hub(_)), "{source:?}");
    }
}
