//! Data sets as commands take them: files, `hub:owner/name`, or a name under TRL's flag.

use std::path::{Path, PathBuf};
use toolcall_lib::data_source::DataSource;
use toolcall_lib::tool::load_tools;
use toolcall_lib::train::settings::Inputs;
use toolcall_lib::{Dataset, Error, Result, ToolSchema};

/// A data set by its name.
#[derive(clap::Args)]
pub struct DatasetArguments {
    /// Data set instead of --data: owner/name on the hub, perhaps with @revision, or a folder or a
    /// file
    #[arg(long, alias = "dataset_name", value_name = "NAME", conflicts_with = "data")]
    dataset_name: Option<String>,
    /// Config of the data set, which the hub calls a subset too; without it, the only one or the
    /// default
    #[arg(long, alias = "dataset_config", value_name = "CONFIG")]
    dataset_config: Option<String>,
    /// Split of the data set, by the names of its files or by what its rows say; without it,
    /// `train`, and all rows of a file
    #[arg(long, aliases = ["dataset_split", "dataset_train_split", "dataset-train-split"], value_name = "SPLIT")]
    dataset_split: Option<String>,
    #[command(flatten)]
    pub tools: ToolsArgument,
}

/// Tools of rows that name none.
#[derive(clap::Args)]
pub struct ToolsArgument {
    /// File with the JSON schemas of the tools that rows without `tools` are about: a list, or one
    /// schema per line
    #[arg(id = "tools", long = "tools", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl ToolsArgument {
    /// Reads the file; without one, there are no tools.
    pub fn load(&self) -> Result<Vec<ToolSchema>> {
        self.file.as_ref().map_or(Ok(Vec::new()), load_tools)
    }
}

impl DatasetArguments {
    /// Returns true if a data set is named.
    pub fn is_named(&self) -> bool {
        self.dataset_name.is_some()
    }

    /// The files or the named data set; without either, the inputs that files of settings name.
    pub fn sources(&self, files: &[PathBuf], settings: &Inputs) -> Result<Vec<DataSource>> {
        let mut sources: Vec<DataSource> = files.iter().map(|file| source(file)).collect::<Result<_>>()?;
        sources.extend(self.dataset_name.as_deref().map(DataSource::named).transpose()?);
        if sources.is_empty() {
            sources.clone_from(&settings.data);
        }
        let config = self.dataset_config.as_ref().or(settings.dataset_config.as_ref());
        let split = self.dataset_split.as_ref().or(settings.dataset_split.as_ref());
        let part = config.or(split).or(settings.test_split());
        if let Some(part) = part.filter(|_| sources.is_empty()) {
            let problem = format!("is missing: `{part}` names a part of it; give --dataset_name or --data");
            return Err(Error::invalid("data set", problem));
        }
        if let Some(file) = self.tools.file.as_ref().filter(|_| sources.is_empty()) {
            let problem = "are tools for rows of --data or --dataset_name, which is missing";
            return Err(Error::invalid(file.display(), problem));
        }
        for source in &mut sources {
            source.config = config.cloned().or(source.config.take());
            source.split = split.cloned().or(source.split.take());
        }
        Ok(sources)
    }

    /// The rows of the files, or of the named data set.
    pub fn load(&self, files: &[PathBuf]) -> Result<Dataset> {
        let sources = self.sources(files, &Inputs::default())?;
        load_all(&sources, &self.tools.load()?, None)
    }
}

/// Loads the rows of these sources, at most `most` of each. Rows without tools get `tools`.
pub fn load_all(sources: &[DataSource], tools: &[ToolSchema], most: Option<usize>) -> Result<Dataset> {
    let mut data = Dataset::default();
    for source in sources {
        let source = DataSource {
            tools: tools.to_vec(),
            ..source.clone()
        };
        let mut rows = source.load()?;
        rows.rows.truncate(most.unwrap_or(usize::MAX));
        data.extend(rows);
    }
    Ok(data)
}

/// The rows of a file, of a folder, or of `hub:owner/name`. Rows without tools get `tools`.
pub fn load(path: &Path, tools: &[ToolSchema]) -> Result<Dataset> {
    load_all(&[source(path)?], tools, None)
}

fn source(path: &Path) -> Result<DataSource> {
    DataSource::of_path(&path.to_string_lossy())
}
