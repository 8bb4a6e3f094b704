//! A small HTTP client, and a server with a tiny model for it.

use crate::common::tiny_model::tiny_model;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;
use toolcall_lib::serve::{ServeConfig, Server, Stop};
use toolcall_lib::{Model, Result};

/// A server that ends when the test does.
pub struct Served {
    pub address: SocketAddr,
    stop: Stop,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Served {
    /// Serves the tiny model with the defaults.
    pub fn tiny() -> Self {
        Self::of(vec![tiny_model()], config())
    }

    pub fn of(models: Vec<Model>, config: ServeConfig) -> Self {
        let server = Server::start(models, config).unwrap();
        Self {
            address: server.address().unwrap(),
            stop: server.stop(),
            thread: Some(std::thread::spawn(|| server.run())),
        }
    }

    /// Asks the server to end, and waits for it.
    pub fn end(mut self) -> Result<()> {
        self.stop.stop();
        self.thread.take().unwrap().join().unwrap()
    }

    pub fn ask_to_end(&self) {
        self.stop.stop();
    }

    /// The answer to `POST /v1/chat/completions`.
    pub fn chat(&self, body: &Value) -> Answer {
        self.post("/v1/chat/completions", body)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        post(self.address, path, &[], body.to_string().as_bytes())
    }

    pub fn get(&self, path: &str) -> Answer {
        request(
            self.address,
            &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"),
            b"",
        )
    }

    /// One number of `/metrics`.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").text;
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a number of `/metrics` is `value`.
    pub fn wait_for(&self, name: &str, value: u64) {
        for _ in 0..2000 {
            if self.metric(name) == value {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{name} is {}, not {value}", self.metric(name));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Settings with a free port.
pub fn config() -> ServeConfig {
    ServeConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        grace: Duration::from_secs(20),
        ..ServeConfig::default()
    }
}

/// The answer of a server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The message of a whole reply.
    pub fn message(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["choices"][0]["message"].clone()
    }

    /// Status, param and code of an error, whose shape is OpenAI's.
    pub fn error(&self) -> (u16, String, String, String) {
        let error = &self.json()["error"];
        let kinds = [
            "invalid_request_error",
            "authentication_error",
            "permission_error",
            "rate_limit_error",
            "server_error",
        ];
        assert!(kinds.iter().any(|kind| error["type"] == *kind), "{error}");
        let text = |field: &str| error[field].as_str().unwrap_or_default().to_string();
        (self.status, text("param"), text("code"), text("message"))
    }

    /// The pieces of a stream, which must end properly.
    pub fn pieces(&self) -> Vec<Value> {
        assert_eq!(self.header("content-type"), Some("text/event-stream"), "{self:?}");
        let lines = self.text.split("\n\n");
        let is_comment = |line: &&str| line.is_empty() || line.starts_with(':');
        let lines: Vec<&str> = lines.filter(|line| !is_comment(line)).collect();
        let (last, pieces) = lines.split_last().unwrap();
        assert_eq!(*last, "data: [DONE]");
        let piece = |line: &&str| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap();
        pieces.iter().map(piece).collect()
    }
}

/// The head of a request with a body of this length.
pub fn head(path: &str, headers: &[(&str, &str)], length: usize) -> String {
    let mut head = format!("POST {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        head += "host: localhost\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head + "\r\n"
}

pub fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    request(address, &head(path, headers, body.len()), body)
}

pub fn request(address: SocketAddr, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    read(stream)
}

/// Reads an answer, after which the server closes the connection.
pub fn read(stream: TcpStream) -> Answer {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line
        .split(' ')
        .nth(1)
        .unwrap_or_else(|| panic!("no status in {line:?}"));
    let status = status.parse().unwrap();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_string())),
            None => break,
        }
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let bytes = if chunked { unchunked(&bytes) } else { bytes };
    Answer {
        status,
        headers,
        text: String::from_utf8(bytes).unwrap(),
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = bytes
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .expect("the size of a chunk");
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
}

/// A request with one message.
pub fn said(text: &str, more: Value) -> Value {
    let mut body =
        json!({"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 60});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap());
    body
}

/// Two tools in OpenAI's form.
pub fn tools() -> Value {
    let tool = |name: &str, properties: Value, required: &[&str]| {
        json!({"type": "function", "function": {
            "name": name,
            "description": "Does it.",
            "strict": true,
            "parameters": {"type": "object", "properties": properties, "required": required},
        }})
    };
    json!([
        tool(
            "start_timer",
            json!({"duration": {"type": "integer", "minimum": 1, "maximum": 86400}}),
            &["duration"]
        ),
        tool(
            "play_music",
            json!({"mood": {"enum": ["calm", "loud"]}, "loop": {"type": "boolean"}}),
            &["mood"]
        ),
    ])
}
