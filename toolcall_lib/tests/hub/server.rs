//! A server that speaks as much of the hub's HTTP API as downloads and uploads need.

use super::receiver::{Receiver, is_upload};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPO: &str = "someone/tiny";

/// A request that the server got.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
    /// Host and port of the request.
    pub host: Option<String>,
    pub body: Vec<u8>,
}

/// Answers a connection as a malicious hub. Returns false if it leaves the answer to the honest
/// hub.
pub type Trick = Box<dyn Fn(&Request, &mut TcpStream) -> bool + Send>;

/// Files of the server, and its faults.
#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    requests: Vec<Request>,
    cuts: usize,
    refusal: Option<u16>,
    trick: Option<Trick>,
    pub receiver: Receiver,
}

/// A repository `someone/tiny` with one commit, on a free local port. Its storage, which receives
/// uploads, has another port.
#[derive(Clone)]
pub struct Server {
    pub endpoint: String,
    pub storage: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn start(files: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [endpoint, storage] = listeners
            .each_ref()
            .map(|listener| format!("http://{}", listener.local_addr().unwrap()));
        let files = files
            .into_iter()
            .map(|(name, bytes)| (name.to_string(), bytes))
            .collect();
        let server = Self {
            endpoint,
            storage,
            state: Arc::new(Mutex::new(State {
                files,
                ..State::default()
            })),
        };
        for listener in listeners {
            let answering = server.clone();
            std::thread::spawn(move || {
                listener
                    .incoming()
                    .flatten()
                    .for_each(|stream| answering.answer(stream).unwrap_or_default())
            });
        }
        server
    }

    /// Requests that the server has received.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Breaks off the next `n` answers with weights half way.
    pub fn cut(&self, n: usize) {
        self.state.lock().unwrap().cuts = n;
    }

    /// Answers everything with a status.
    pub fn refuse(&self, status: u16) {
        self.state.lock().unwrap().refusal = Some(status);
    }

    /// Lets `trick` answer first.
    pub fn play(&self, trick: impl Fn(&Request, &mut TcpStream) -> bool + Send + 'static) {
        self.state.lock().unwrap().trick = Some(Box::new(trick));
    }

    /// Returns the requests since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    fn answer(&self, mut stream: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut request, length) = read(&mut reader);
        let mut state = self.state.lock().unwrap();
        let cut = request.method == "PUT" && state.receiver.cuts > 0;
        state.receiver.cuts -= usize::from(cut);
        let sent = if cut { length / 2 } else { length };
        reader.take(sent).read_to_end(&mut request.body)?;
        state.requests.push(request.clone());
        if cut {
            return Ok(());
        }
        if state
            .trick
            .as_ref()
            .is_some_and(|trick| trick(&request, &mut stream))
        {
            return Ok(());
        }
        // The same files are a model and a data set.
        let files = [
            format!("/{REPO}/resolve/{COMMIT}/"),
            format!("/datasets/{REPO}/resolve/{COMMIT}/"),
        ];
        if is_upload(&request) {
            return self.receive(&mut state, &request, &stream);
        }
        let info = ["models", "datasets"]
            .map(|kind| ["main", COMMIT].map(|revision| format!("/api/{kind}/{REPO}/revision/{revision}")));
        if let Some(status) = state.refusal {
            return write(&stream, status, &[], b"", 0);
        }
        if request.path == "/api/whoami-v2" {
            let token = state
                .receiver
                .token
                .as_ref()
                .map(|token| format!("Bearer {token}"));
            return match request.authorization == token {
                true => write(&stream, 200, &[], br#"{"name": "someone"}"#, 19),
                false => write(&stream, 401, &[], b"", 0),
            };
        }
        let branch = request
            .path
            .strip_prefix(&format!("/api/models/{REPO}/revision/"));
        let of_branch = branch.is_some_and(|branch| state.receiver.branches.iter().any(|b| b == branch));
        if info.as_flattened().contains(&request.path) || of_branch {
            let siblings: Vec<_> = state
                .files
                .keys()
                .map(|name| json!({"rfilename": name}))
                .collect();
            let body =
                json!({"sha": COMMIT, "siblings": siblings, "private": state.receiver.private}).to_string();
            return write(&stream, 200, &[], body.as_bytes(), body.len());
        }
        let name = |files: &String| Some(request.path.strip_prefix(files)?.replace("%20", " "));
        let (name, stored) = match (
            files.iter().find_map(name),
            request.path.strip_prefix("/storage/").map(String::from),
        ) {
            (Some(name), _) => (name, false),
            (_, Some(name)) => (name, true),
            _ => return write(&stream, 404, &[], b"", 0),
        };
        let name = name.as_str();
        let Some(bytes) = state.files.get(name).cloned() else {
            return write(&stream, 404, &[], b"", 0);
        };
        let large = name.ends_with(".safetensors") || name.ends_with(".parquet");
        let etag = match large {
            true => format!("\"{}\"", sha256(&bytes)),
            false => format!("W/\"{}-{}\"", name.replace(['/', ' '], "."), bytes.len()),
        };
        if large && !stored {
            // Large files are elsewhere, as on the hub.
            let place = format!("{}/storage/{name}", self.endpoint);
            let headers = [
                ("Location", place),
                ("x-linked-etag", etag),
                ("x-linked-size", bytes.len().to_string()),
                ("x-repo-commit", COMMIT.into()),
            ];
            return write(&stream, 302, &headers, b"", 0);
        }
        let head = request.method == "HEAD";
        let (start, end) = wanted(&request, bytes.len());
        let body = &bytes[start..end];
        let broken = large && !head && body.len() > 1 && state.cuts > 0;
        state.cuts -= usize::from(broken);
        let sent = match (head, broken) {
            (true, _) => &[],
            (_, true) => &body[..body.len() / 2],
            _ => body,
        };
        let content = format!("bytes {start}-{}/{}", end - 1, bytes.len());
        let headers = [
            ("Content-Range", content),
            ("ETag", etag),
            ("x-repo-commit", COMMIT.into()),
        ];
        let status = if request.range.is_some() { 206 } else { 200 };
        write(&stream, status, &headers, sent, body.len())
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the bytes that `Range: bytes=FIRST-LAST` or `bytes=FIRST-` asks for.
fn wanted(request: &Request, length: usize) -> (usize, usize) {
    let range = request
        .range
        .as_deref()
        .unwrap_or("bytes=0-")
        .trim_start_matches("bytes=");
    let (first, last) = range.split_once('-').unwrap();
    (
        first.parse().unwrap(),
        last.parse().map_or(length, |last: usize| length.min(last + 1)),
    )
}

/// A request without its body, and the length of the body.
fn read(reader: &mut impl BufRead) -> (Request, u64) {
    let lines: Vec<String> = reader
        .lines()
        .map_while(|line| line.ok().filter(|line| !line.is_empty()))
        .collect();
    let headers: Vec<_> = lines.iter().filter_map(|line| line.split_once(": ")).collect();
    let header = |name: &str| {
        headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_string())
    };
    let mut words = lines.first().into_iter().flat_map(|line| line.split(' '));
    let mut word = || words.next().unwrap_or_default().to_string();
    let request = Request {
        method: word(),
        path: word(),
        range: header("range"),
        authorization: header("authorization"),
        host: header("host"),
        body: Vec::new(),
    };
    let length = header("content-length").and_then(|length| length.parse().ok());
    (request, length.unwrap_or(0))
}

/// Writes an answer that claims to be `length` bytes long.
pub fn write(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(&str, String)],
    body: &[u8],
    length: impl fmt::Display,
) -> Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {length}\r\n"
    )?;
    headers
        .iter()
        .try_for_each(|(name, value)| write!(stream, "{name}: {value}\r\n"))?;
    stream.write_all(b"\r\n")?;
    stream.write_all(body)
}
