//! Downloads one file of a commit into the cache: first the hub's description of it, then its
//! bytes, which are checked before the file appears.

use super::cache::{RepoCache, blob_name};
use super::client::{Client, Failure};
use super::retry::Patience;
use crate::{files, interrupt};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;
use ureq::http::HeaderMap;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG};

/// Number of times that a download that broke off is continued.
const CONTINUATIONS: u32 = 3;
/// Pause before the first of them.
const PAUSE: Duration = Duration::from_millis(200);
/// Number of bytes that are read at a time.
const BLOCK: usize = 1 << 18;
/// Most bytes of a file that does not hold weights.
const LARGEST_TEXT: u64 = 512 << 20;
/// Longest wait for another process that downloads the same file.
const LOCKED: Duration = Duration::from_secs(60 * 60);

/// The hub's description of a file.
struct Announced {
    /// Name of its content in the cache.
    blob: String,
    size: u64,
    /// SHA-256 in hexadecimal digits. The hub has it for large files.
    sha256: Option<String>,
}

/// Downloads `file` of a commit, whose address is `path`, unless the cache has it.
pub(super) fn download(
    client: &Client,
    cache: &RepoCache,
    path: &str,
    commit: &str,
    file: &str,
) -> Result<(), Failure> {
    let announced = announced(&patience().retry(|| client.head(path))?, commit)?;
    if announced.size > LARGEST_TEXT && !file.ends_with(".safetensors") {
        return Err(Failure::Answer(format!(
            "it has {} bytes, and no such file has more than {LARGEST_TEXT}",
            announced.size
        )));
    }
    let blob = cache
        .blob(&announced.blob)
        .map_err(written(&cache.snapshot(commit)))?;
    let lock = cache.lock(&announced.blob, LOCKED).map_err(written(&blob))?;
    let there = fs::metadata(&blob).is_ok_and(|there| there.len() == announced.size);
    if !there {
        fill(client, path, &announced, &blob)?;
    }
    cache
        .link(commit, file, &announced.blob)
        .map_err(written(&blob))?;
    drop(lock);
    Ok(())
}

/// Reads the hub's answer: the name, the size and the hash that the file must have.
fn announced(headers: &HeaderMap, commit: &str) -> Result<Announced, Failure> {
    let wrong = |problem: &str| Failure::Answer(problem.to_string());
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("x-repo-commit").is_some_and(|other| other != commit) {
        return Err(wrong("it is of another commit than was asked for"));
    }
    let etag = text("x-linked-etag").or(text(ETAG.as_str()));
    let etag = etag.ok_or_else(|| wrong("it has no ETag, by which the cache would know the file"))?;
    let blob = blob_name(etag).ok_or_else(|| wrong("its ETag cannot be the name of a file in the cache"))?;
    let size = text("x-linked-size").or(text(CONTENT_LENGTH.as_str()));
    let size = size.and_then(|size| size.parse().ok());
    let is_hash = blob.len() == 64 && blob.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(Announced {
        size: size.ok_or_else(|| wrong("it does not say how long the file is"))?,
        sha256: is_hash.then(|| blob.to_ascii_lowercase()),
        blob,
    })
}

/// Downloads the bytes next to `blob`. They take its place when they are whole and right.
fn fill(client: &Client, path: &str, announced: &Announced, blob: &Path) -> Result<(), Failure> {
    let part = blob.with_file_name(format!("{}.incomplete", announced.blob));
    patience().retry(|| go_on(client, path, announced, &part))?;
    if let Some(problem) = damage(announced, &part).map_err(written(&part))? {
        fs::remove_file(&part).map_err(written(&part))?;
        return Err(Failure::Answer(problem));
    }
    fs::rename(&part, blob).map_err(written(blob))
}

fn patience() -> Patience {
    Patience::of(CONTINUATIONS, PAUSE)
}

/// Appends the missing bytes to `part`.
fn go_on(client: &Client, path: &str, announced: &Announced, part: &Path) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(part)
        .map_err(written(part))?;
    let mut start = file.metadata().map_err(written(part))?.len();
    if start > announced.size {
        file.set_len(0).map_err(written(part))?;
        start = 0;
    }
    if start < announced.size {
        let mut answer = client.file(path, start, announced.size)?;
        if first_byte(answer.headers(), answer.status().as_u16(), start)? != start {
            file.set_len(0).map_err(written(part))?;
            start = 0;
        }
        let missing = announced.size - start;
        let mut body = answer.body_mut().with_config().limit(missing + 1).reader();
        copy(&mut body, &mut file, missing, part)?;
    }
    file.sync_all().map_err(written(part))
}

/// Returns the byte of the file at which the answer begins: `start`, or 0 if a server sends the
/// whole file in any case.
fn first_byte(headers: &HeaderMap, status: u16, start: u64) -> Result<u64, Failure> {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    match (status, first) {
        (206, first) if first.unwrap_or(0) == start => Ok(start),
        (206, _) => Err(Failure::Answer(
            "it is another part of the file than was asked for".to_string(),
        )),
        _ => Ok(0),
    }
}

/// Copies exactly `missing` bytes.
fn copy(body: &mut impl Read, file: &mut File, missing: u64, part: &Path) -> Result<(), Failure> {
    let mut block = vec![0; BLOCK];
    let mut left = missing;
    loop {
        if interrupt::is_stopping() {
            return Err(Failure::Connection("stopped by the user".to_string()));
        }
        let read = match body.read(&mut block) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Connection(error.to_string())),
        };
        if read == 0 && left > 0 {
            return Err(Failure::Connection(format!(
                "it broke off with {left} bytes missing"
            )));
        }
        if read as u64 > left {
            return Err(Failure::Answer("it is longer than the hub says".to_string()));
        }
        if read == 0 {
            return Ok(());
        }
        file.write_all(&block[..read]).map_err(written(part))?;
        left -= read as u64;
    }
}

/// Returns how a file differs from the hub's description; `None` if it does not.
fn damage(announced: &Announced, part: &Path) -> io::Result<Option<String>> {
    let file = File::open(part)?;
    let size = file.metadata()?.len();
    if size != announced.size {
        return Ok(Some(format!(
            "it has {size} bytes, and the hub says {}",
            announced.size
        )));
    }
    let Some(expected) = &announced.sha256 else {
        return Ok(None);
    };
    let found = files::sha256_of_all(file)?;
    let problem = || {
        format!("its SHA-256 is {found}, and the hub says {expected}: it was changed or damaged on the way")
    };
    Ok((found != *expected).then(problem))
}

/// Makes, for `map_err`, the error that the cache cannot be written.
fn written(place: &Path) -> impl Fn(io::Error) -> Failure {
    let place = place.to_path_buf();
    move |error| Failure::Cache(place.clone(), error)
}
