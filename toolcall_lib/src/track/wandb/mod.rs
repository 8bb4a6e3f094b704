//! Weights & Biases: a run file that `wandb sync` sends, and, with a key, the same by HTTP while
//! the run goes on.
//!
//! The run file is written in any case, so a connection that breaks loses nothing.

mod api;
mod run_file;
mod sender;
mod settings;

pub use settings::Settings;
pub(crate) use settings::is_id;

use super::wandb_said::WandbMode;
use super::{Ending, Outcome, Point, Run, Started, Table, Tracker, grouped};
use crate::error::{Error, Result};
use crate::files::sha256_of;
use crate::machine::{host, now};
use api::{AXIS, Api, Description};
use rand::Rng;
use run_file::RunFile;
use sender::Sender;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// The exit code of a run that the user stopped, as the official client has it.
const INTERRUPTED: i32 = 255;

/// Starts the run file, and the sender if the run is to be sent.
pub(super) fn start(settings: &Settings, run: &Run) -> Result<Started> {
    let mut notes = Vec::new();
    match (settings.mode, &settings.key) {
        (WandbMode::Disabled, _) => return Ok((None, notes)),
        (WandbMode::Online, None) => {
            notes.push("wandb: WANDB_API_KEY is not set, so the run is written to a file only".to_string());
        }
        _ => {}
    }
    let tracker = Wandb::create(settings.clone(), describe(settings, run))?;
    if tracker.sender.is_none() {
        notes.push(format!(
            "`wandb sync {}` sends this run",
            tracker.folder.display()
        ));
    }
    Ok((Some(Box::new(tracker)), notes))
}

fn describe(settings: &Settings, run: &Run) -> Description {
    let mut config = run.model.clone();
    config.extend(run.settings.clone()); // of the same name, the setting, as in transformers
    Description {
        id: settings.run_id.clone().unwrap_or_else(random_id),
        name: run.name.clone().or_else(|| settings.name.clone()),
        project: settings.project.clone(),
        entity: settings.entity.clone(),
        config,
        host: host(),
    }
}

/// Eight letters and digits.
fn random_id() -> String {
    const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut random = rand::rng();
    let letter = |_| LETTERS[random.random_range(0..LETTERS.len())] as char;
    (0..8).map(letter).collect()
}

#[derive(Debug)]
struct Wandb {
    settings: Settings,
    description: Description,
    folder: PathBuf,
    file: RunFile,
    sender: Option<Sender>,
    started: Instant,
    last_step: Option<usize>,
    /// The latest value of each number.
    summary: Map<String, Value>,
    /// Exit code and length, in seconds.
    end: (i32, u64),
}

impl Wandb {
    fn create(settings: Settings, description: Description) -> Result<Self> {
        let sender = connect(&settings, &description)?;
        let kind = if sender.is_some() { "run" } else { "offline-run" };
        let time = jiff::ZonedDateTime::now().strftime("%Y%m%d_%H%M%S");
        let name = format!("{kind}-{time}-{}", description.id);
        let folder = settings.folder.join("wandb").join(name);
        fs::create_dir_all(folder.join("files")).map_err(Error::io(&folder))?;
        let mut file = RunFile::create(&folder.join(format!("run-{}.wandb", description.id)))?;
        file.run(&description, now())?;
        Ok(Self {
            settings,
            description,
            folder,
            file,
            sender,
            started: Instant::now(),
            last_step: None,
            summary: Map::new(),
            end: (1, 0),
        })
    }

    /// Keys that the official client adds to a row of the history.
    fn stamp(&self, row: &mut Map<String, Value>, step: usize) {
        row.insert(AXIS.to_string(), step.into());
        row.insert("_step".to_string(), step.into());
        row.insert(
            "_runtime".to_string(),
            self.started.elapsed().as_secs_f64().into(),
        );
        row.insert("_timestamp".to_string(), now().into());
    }

    /// Writes a table to the folder, from which it is sent, and refers to it in the summary.
    fn keep_table(&mut self, name: &str, table: &Table) -> Result<()> {
        let bytes = serde_json::to_vec(table).map_err(Error::library("writing a table"))?;
        let sha256 = sha256_of(&bytes);
        let path = format!(
            "media/table/{name}_{}_{}.table.json",
            self.last_step.unwrap_or(0),
            &sha256[..20]
        );
        let place = self.folder.join("files").join(&path);
        fs::create_dir_all(self.folder.join("files/media/table")).map_err(Error::io(&place))?;
        fs::write(&place, &bytes).map_err(Error::io(&place))?;
        let reference = json!({
            "_type": "table-file", "path": path, "sha256": sha256, "size": bytes.len(),
            "ncols": table.columns.len(), "nrows": table.rows.len(), "log_mode": "IMMUTABLE",
        });
        self.summary.insert(name.to_string(), reference);
        self.file.media(&path)?;
        if let Some(sender) = &mut self.sender {
            sender.upload(path, bytes);
        }
        Ok(())
    }
}

impl Wandb {
    /// Writes and sends the end of the run.
    fn close(&mut self) -> Result<Vec<String>> {
        let (exit_code, seconds) = self.end;
        self.file.summary(&self.summary)?;
        self.file.exit(exit_code, seconds)?;
        let Some(sender) = self.sender.take() else {
            return Ok(Vec::new());
        };
        let mut notes = sender.finish(self.summary.clone(), exit_code);
        if let Some(last) = notes
            .last_mut()
            .filter(|note| note.starts_with(sender::INCOMPLETE))
        {
            last.push_str(&format!(
                "; `wandb sync {}` sends all of it",
                self.folder.display()
            ));
            self.settings.mode = WandbMode::Offline; // later data is in the file only
        }
        Ok(notes)
    }
}

impl Tracker for Wandb {
    fn name(&self) -> &'static str {
        "wandb"
    }

    fn log(&mut self, point: &Point) -> Result<Vec<String>> {
        let values = point.values.iter();
        let mut row: Map<String, Value> = values
            .map(|(name, value)| (grouped(name), value.clone()))
            .collect();
        self.stamp(&mut row, point.step);
        self.last_step = Some(point.step);
        self.file.history(point.step, &row)?;
        self.summary.extend(row.clone());
        let Some(sender) = &mut self.sender else {
            return Ok(Vec::new());
        };
        sender.row(&row);
        Ok(sender.notes())
    }

    fn finish(&mut self, ending: &Ending) -> Result<Vec<String>> {
        let exit_code = match ending.outcome {
            Outcome::Complete => 0,
            Outcome::Interrupted => INTERRUPTED,
            Outcome::Failed => 1,
        };
        self.end = (exit_code, self.started.elapsed().as_secs());
        self.summary
            .insert("_wandb".to_string(), json!({"runtime": self.end.1}));
        self.summary.extend(ending.summary.clone());
        for (name, table) in &ending.tables {
            self.keep_table(name, table)?;
        }
        self.close()
    }

    fn add_table(&mut self, name: &str, table: &Table) -> Result<Vec<String>> {
        if self.settings.mode == WandbMode::Online {
            self.sender = connect(&self.settings, &self.description)?;
        }
        self.file.reopen()?;
        self.keep_table(name, table)?;
        let mut notes = self.close()?;
        notes.retain(|note| !note.starts_with(sender::PAGE)); // it is known
        Ok(notes)
    }
}

/// Connects with the server, if the run is to be sent.
fn connect(settings: &Settings, run: &Description) -> Result<Option<Sender>> {
    match (settings.mode, &settings.key) {
        (WandbMode::Online, Some(key)) => {
            Sender::start(Api::new(settings, key)?, run.clone(), settings).map(Some)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
