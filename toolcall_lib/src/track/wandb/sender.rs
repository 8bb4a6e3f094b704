//! Sends a run while it goes on, on a separate thread. Training never waits for the network.

use super::Settings;
use super::api::{Api, Description, Failure, Place};
use crate::error::Error;
use crate::mutex::locked;
use serde_json::{Map, Value, json};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Most rows that wait to be sent. If there are more, the newest are dropped.
pub(super) const WAITING: usize = 10_000;
/// Time for which rows are collected before they are sent.
const COLLECT: Duration = Duration::from_secs(5);
/// Time after which a run without new rows sends a heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Most lines of one request.
const AT_ONCE: usize = 1_000;
/// Number of tries of a request while the server cannot be reached. The waits grow: about four
/// minutes in all.
const TRIES: u32 = 12;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Start of a note with the address of the run.
pub(super) const PAGE: &str = "wandb: this run is at ";
/// Start of a note about rows that were not sent.
pub(super) const INCOMPLETE: &str = "wandb: not all was sent";

/// A message to the thread.
enum Parcel {
    /// A line of the history, with its numbers.
    Row(Map<String, Value>),
    /// A file, by its name in the run.
    File(String, Vec<u8>),
    /// The end: the summary and the exit code.
    End(Map<String, Value>, i32),
}

/// A message from the thread.
#[derive(Debug, Default)]
struct Told {
    notes: Vec<String>,
    /// Reason why a request is retried.
    trouble: Option<String>,
    /// Reason why nothing is sent any more.
    failed: Option<String>,
}

/// The thread that sends, as the run sees it.
#[derive(Debug)]
pub(super) struct Sender {
    parcels: SyncSender<Parcel>,
    told: Arc<Mutex<Told>>,
    ended: Receiver<()>,
    dropped: usize,
    failure_is_known: bool,
    patience: Duration,
}

impl Sender {
    pub fn start(api: Api, run: Description, settings: &Settings) -> Result<Self, Error> {
        let (parcels, incoming) = sync_channel(WAITING);
        let (end, ended) = sync_channel(1);
        let told = Arc::new(Mutex::new(Told::default()));
        let worker = Worker {
            api,
            told: told.clone(),
            waiting: Vec::new(),
            sent: 0,
            summary: Map::new(),
        };
        thread::Builder::new()
            .name("wandb".to_string())
            .spawn(move || {
                worker.work(&run, &incoming);
                end.send(()).ok(); // the receiver may be gone
            })
            .map_err(Error::library(
                "starting the thread that sends to Weights & Biases",
            ))?;
        Ok(Self {
            parcels,
            told,
            ended,
            dropped: 0,
            failure_is_known: false,
            patience: settings.patience,
        })
    }

    /// Queues a row to be sent, or drops it if too many wait.
    pub fn row(&mut self, row: &Map<String, Value>) {
        self.give(Parcel::Row(row.clone()));
    }

    /// Queues a file to be stored.
    pub fn upload(&mut self, name: String, bytes: Vec<u8>) {
        self.give(Parcel::File(name, bytes));
    }

    fn give(&mut self, parcel: Parcel) {
        if let Err(TrySendError::Full(_)) = self.parcels.try_send(parcel) {
            self.dropped += 1;
        }
    }

    /// Returns the notes for the user that were not returned before.
    pub fn notes(&mut self) -> Vec<String> {
        let mut told = locked(&self.told);
        let mut notes = std::mem::take(&mut told.notes);
        if let (Some(problem), false) = (&told.failed, self.failure_is_known) {
            self.failure_is_known = true;
            notes.push(format!(
                "wandb: nothing is sent from here on, and the run goes on: {problem}"
            ));
        }
        notes
    }

    /// Queues the end of the run and waits a limited time until it is sent.
    pub fn finish(mut self, summary: Map<String, Value>, exit_code: i32) -> Vec<String> {
        let deadline = Instant::now() + self.patience;
        let mut end = Parcel::End(summary, exit_code);
        while let Err(TrySendError::Full(back)) = self.parcels.try_send(end) {
            if Instant::now() > deadline {
                break;
            }
            thread::sleep(Duration::from_millis(50));
            end = back;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let is_late = matches!(self.ended.recv_timeout(left), Err(RecvTimeoutError::Timeout));
        let mut notes = self.notes();
        notes.extend(self.loss(is_late));
        notes
    }

    /// Returns the number of rows that were not sent, and the reason.
    fn loss(&self, is_late: bool) -> Option<String> {
        let told = locked(&self.told);
        if !is_late && told.failed.is_none() && self.dropped == 0 {
            return None;
        }
        let mut note = INCOMPLETE.to_string();
        if is_late {
            note.push_str(&format!(
                " within {} s after the last step",
                self.patience.as_secs_f64()
            ));
            note.extend(told.trouble.iter().map(|trouble| format!(" ({trouble})")));
        }
        if self.dropped > 0 {
            note.push_str(&format!(
                "; {} points came faster than the server took them",
                self.dropped
            ));
        }
        Some(note)
    }
}

/// The thread's side.
struct Worker {
    api: Api,
    told: Arc<Mutex<Told>>,
    /// Lines of the history that are not sent yet.
    waiting: Vec<String>,
    /// Lines that the server has.
    sent: usize,
    /// Latest value of each number.
    summary: Map<String, Value>,
}

impl Worker {
    fn work(mut self, run: &Description, incoming: &Receiver<Parcel>) {
        if let Err(problem) = self.send_all(run, incoming) {
            let problem = format!("{}: {problem}", self.api.base());
            self.told().failed = Some(problem);
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        locked(&self.told)
    }

    fn send_all(&mut self, run: &Description, incoming: &Receiver<Parcel>) -> Result<(), String> {
        let place = self.again(|| self.api.create(run))?;
        self.sent = place.rows;
        let page = self.api.page(&place);
        self.told().notes.push(format!("{PAGE}{page}"));
        let mut latest = Instant::now();
        loop {
            let wait = if self.waiting.is_empty() {
                HEARTBEAT
            } else {
                COLLECT
            };
            match incoming.recv_timeout(wait.saturating_sub(latest.elapsed())) {
                Ok(Parcel::Row(row)) => {
                    self.waiting.push(Value::Object(row.clone()).to_string());
                    self.summary.extend(row);
                    if self.waiting.len() < AT_ONCE && latest.elapsed() < COLLECT {
                        continue;
                    }
                }
                Ok(Parcel::File(name, bytes)) => self.again(|| self.api.upload(&place, &name, &bytes))?,
                Ok(Parcel::End(summary, code)) => {
                    self.summary = summary;
                    return self.end(&place, code);
                }
                Err(RecvTimeoutError::Disconnected) => return self.end(&place, 1),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.stream(&place, Map::new())?;
            latest = Instant::now();
        }
    }

    /// Sends the lines that wait, and `more`. Without either, it sends a heartbeat.
    fn stream(&mut self, place: &Place, mut more: Map<String, Value>) -> Result<(), String> {
        if !self.waiting.is_empty() || !more.is_empty() {
            let summary = [Value::Object(self.summary.clone()).to_string()];
            let mut files = json!({"wandb-summary.json": {"offset": 0, "content": summary}});
            if !self.waiting.is_empty() {
                files["wandb-history.jsonl"] = json!({"offset": self.sent, "content": self.waiting});
            }
            more.insert("files".to_string(), files);
        }
        let body = Value::Object(more);
        self.again(|| self.api.stream(place, &body))?;
        self.sent += self.waiting.len();
        self.waiting.clear();
        Ok(())
    }

    fn end(&mut self, place: &Place, code: i32) -> Result<(), String> {
        let end = [("complete", Value::from(true)), ("exitcode", code.into())];
        self.stream(
            place,
            end.map(|(name, value)| (name.to_string(), value))
                .into_iter()
                .collect(),
        )
    }

    /// Retries a request while a retry may succeed.
    fn again<T>(&self, request: impl Fn() -> Result<T, Failure>) -> Result<T, String> {
        let mut wait = Duration::from_millis(250);
        for tries in 1.. {
            match request() {
                Ok(answer) => {
                    self.told().trouble = None;
                    return Ok(answer);
                }
                Err(Failure::Final(problem)) => return Err(problem),
                Err(Failure::Passing(problem)) if tries == TRIES => {
                    return Err(format!("{problem}, after {TRIES} tries"));
                }
                Err(Failure::Passing(problem)) => self.told().trouble = Some(problem),
            }
            thread::sleep(wait);
            wait = (2 * wait).min(LONGEST_WAIT);
        }
        Err("too many tries".to_string())
    }
}
