//! Large files: the hub says which of them it needs and where they go (the batch API of Git LFS),
//! and they are sent there, whole or in parts.

use super::file::shown;
use super::repository::{Plan, Planned};
use super::request::LFS;
use super::{LocalFile, Push, stop_if_asked, unread, unusable};
use crate::error::{shortened, tell};
use crate::interrupt;
use crate::weights::hub::client::{Failure, named};
use crate::weights::hub::retry::Patience;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Take};
use std::time::{Duration, Instant};
use ureq::http::Uri;
use ureq::http::header::ETAG;

/// Files that the hub is asked about at a time.
const AT_A_TIME: usize = 256;
/// Bytes that a storage takes in one piece.
const LARGEST_PIECE: u64 = 5 << 30;
/// Time between two lines while a file is sent.
const SILENCE: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Batch {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    error: Option<Refusal>,
    /// None if the storage has it.
    actions: Option<Actions>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
    message: String,
}

#[derive(Deserialize)]
struct Actions {
    upload: Option<Action>,
    verify: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    /// For a file in parts: `chunk_size`, and the address of each part by its number.
    #[serde(default)]
    header: Option<Map<String, Value>>,
}

/// The addresses of the parts of a file, and the length of all but the last.
struct Parts {
    length: u64,
    addresses: Vec<Uri>,
}

impl Push<'_> {
    /// Sends the large files that the storage does not have; their names go to `sent`.
    pub fn store(&self, plan: &Plan<'_>, sent: &mut BTreeSet<String>) -> Result<(), Failure> {
        let mut contents = BTreeSet::new();
        let large = plan.changed().filter(|planned| planned.large);
        let different = large.filter(|planned| contents.insert(&planned.file.sha256));
        let large: Vec<&Planned<'_>> = different.collect();
        for some in large.chunks(AT_A_TIME) {
            let files: Vec<&LocalFile> = some.iter().map(|planned| planned.file).collect();
            let mut wanted = self.wanted(&files)?;
            for file in files {
                stop_if_asked()?;
                if let Some(actions) = wanted.remove(&file.sha256) {
                    self.send(file, actions)?;
                    sent.insert(file.name.clone());
                }
            }
        }
        Ok(())
    }

    /// Returns what the storage wants of these files, by their checksum.
    fn wanted(&self, files: &[&LocalFile]) -> Result<BTreeMap<String, Actions>, Failure> {
        let objects = files
            .iter()
            .map(|file| json!({"oid": file.sha256, "size": file.bytes}));
        let body = json!({
            "operation": "upload",
            "transfers": ["basic", "multipart"],
            "objects": objects.collect::<Vec<Value>>(),
            "hash_algo": "sha256",
            "ref": {"name": self.id.revision},
        });
        let (path, body) = (
            format!("/{}.git/info/lfs/objects/batch", self.id.repo),
            body.to_string(),
        );
        let batch: Batch = Patience::default().retry(|| self.client.post(&path, LFS, body.as_bytes()))?;
        let mut actions: BTreeMap<String, Option<Actions>> = BTreeMap::new();
        for object in batch.objects {
            if let Some(Refusal { code, message }) = object.error {
                return Err(Failure::Refused(code, shortened(&message, 300)));
            }
            actions.insert(object.oid, object.actions);
        }
        match files.iter().find(|file| !actions.contains_key(&file.sha256)) {
            Some(file) => Err(unusable(format!("it says nothing about {}", file.name))),
            None => Ok(actions
                .into_iter()
                .filter_map(|(oid, actions)| Some((oid, actions?)))
                .collect()),
        }
    }

    /// Sends a file. A retry asks first: the file may have arrived, and the address may be valid
    /// for a while only.
    fn send(&self, file: &LocalFile, mut actions: Actions) -> Result<(), Failure> {
        tell(format!("uploading {} ({})", file.name, shown(file.bytes)));
        let mut patience = Patience::default();
        loop {
            let failure = match self.try_to_send(file, &actions) {
                Ok(()) => return Ok(()),
                Err(Failure::Storage(host, 403)) => Failure::Connection(format!(
                    "{host} does not take what is sent to the address that the hub named"
                )),
                Err(failure) => failure,
            };
            if !patience.allows(&failure) {
                return Err(failure);
            }
            match self.wanted(&[file])?.remove(&file.sha256) {
                Some(again) => actions = again,
                None => return Ok(()),
            }
        }
    }

    fn try_to_send(&self, file: &LocalFile, actions: &Actions) -> Result<(), Failure> {
        let Some(upload) = &actions.upload else {
            return Ok(()); // the storage has it
        };
        let uri = self.named(&upload.href)?;
        let progress = Progress::of(file);
        match self.parts(file, upload)? {
            None if file.bytes > LARGEST_PIECE => Err(unusable(format!(
                "it does not take {} in parts, and no storage takes {} in one piece",
                file.name,
                shown(file.bytes)
            ))),
            None => {
                let mut body = Outgoing::open(file, 0, file.bytes, &progress)?;
                self.client.put(&uri, &mut body, file.bytes).map(drop)
            }
            Some(parts) => self.send_parts(file, &uri, &parts, &progress),
        }?;
        let Some(verify) = &actions.verify else {
            return Ok(());
        };
        let uri = self.named(&verify.href)?;
        let body = json!({"oid": file.sha256, "size": file.bytes}).to_string();
        Patience::default().retry(|| self.client.notify(&uri, body.as_bytes()))
    }

    /// Sends the parts in turn, with retries, and has them put together.
    fn send_parts(
        &self,
        file: &LocalFile,
        complete: &Uri,
        parts: &Parts,
        progress: &Progress<'_>,
    ) -> Result<(), Failure> {
        let mut done = Vec::new();
        for (index, address) in parts.addresses.iter().enumerate() {
            let start = index as u64 * parts.length;
            let bytes = parts.length.min(file.bytes - start);
            let headers = Patience::default().retry(|| {
                let mut body = Outgoing::open(file, start, bytes, progress)?;
                self.client.put(address, &mut body, bytes)
            })?;
            let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok());
            let etag = etag.ok_or_else(|| unusable("its storage gives a part no ETag"))?;
            done.push(json!({"partNumber": index + 1, "etag": etag}));
        }
        let body = json!({"oid": file.sha256, "parts": done}).to_string();
        Patience::default().retry(|| self.client.complete(complete, body.as_bytes()))
    }

    /// The parts in which a file is sent, if it is.
    fn parts(&self, file: &LocalFile, upload: &Action) -> Result<Option<Parts>, Failure> {
        let header = upload.header.as_ref();
        let Some((header, length)) = header.and_then(|header| Some((header, header.get("chunk_size")?)))
        else {
            return Ok(None);
        };
        let length = length
            .as_u64()
            .or_else(|| length.as_str().and_then(|text| text.parse().ok()));
        let length = length.filter(|length| *length > 0);
        let length = length.ok_or_else(|| unusable("the `chunk_size` of its parts is not a length"))?;
        let mut addresses = BTreeMap::new();
        for (name, address) in header {
            if let (Ok(number), Some(address)) = (name.parse::<u64>(), address.as_str()) {
                addresses.insert(number, self.named(address)?);
            }
        }
        let expected = file.bytes.div_ceil(length);
        if addresses.len() as u64 != expected || !addresses.keys().copied().eq(1..=expected) {
            let found = addresses.len();
            return Err(unusable(format!(
                "it has addresses for {found} parts of {}, and {expected} are needed",
                file.name
            )));
        }
        let addresses = addresses.into_values().collect();
        Ok(Some(Parts { length, addresses }))
    }

    /// An address that the hub has named.
    fn named(&self, href: &str) -> Result<Uri, Failure> {
        named(&self.client.base, href).map_err(|problem| unusable(format!("it sends a file {problem}")))
    }
}

/// Progress of a file.
struct Progress<'a> {
    file: &'a LocalFile,
    told: Cell<Instant>,
}

impl<'a> Progress<'a> {
    fn of(file: &'a LocalFile) -> Self {
        Self {
            file,
            told: Cell::new(Instant::now()),
        }
    }

    fn at(&self, byte: u64) {
        if self.told.get().elapsed() >= SILENCE {
            let Self { file, .. } = self;
            let percent = 100 * byte / file.bytes.max(1);
            tell(format!(
                "uploading {}: {percent} % of {}",
                file.name,
                shown(file.bytes)
            ));
            self.told.set(Instant::now());
        }
    }
}

/// Bytes of a file on their way, until they are all read or the user asks to stop.
struct Outgoing<'a> {
    bytes: Take<File>,
    at: u64,
    progress: &'a Progress<'a>,
}

impl<'a> Outgoing<'a> {
    fn open(file: &LocalFile, start: u64, bytes: u64, progress: &'a Progress<'a>) -> Result<Self, Failure> {
        let mut open = File::open(&file.path).map_err(unread(file))?;
        open.seek(SeekFrom::Start(start)).map_err(unread(file))?;
        Ok(Self {
            bytes: open.take(bytes),
            at: start,
            progress,
        })
    }
}

impl Read for Outgoing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupt::requested() {
            return Err(io::Error::other("stopped by the user"));
        }
        let read = self.bytes.read(buffer)?;
        self.at += read as u64;
        self.progress.at(self.at);
        Ok(read)
    }
}
