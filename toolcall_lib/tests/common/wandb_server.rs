//! A fake server of Weights & Biases.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as the server got it: path, `Authorization`, body.
pub type Request = (String, String, String);
/// The status and the body of an answer; none breaks the connection.
type Answers = dyn Fn(usize, &Request) -> Option<(u16, String)> + Send + Sync;

/// A server with as much of the API of Weights & Biases as a run needs. The run is `me/calls/abc`.
pub struct Server {
    pub url: String,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(usize, &Request) -> Option<(u16, String)> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen): (Arc<Answers>, _) = (Arc::new(answer), requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (answer.clone(), seen.clone());
                thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Self { url, requests }
    }

    /// Starts a server that behaves like the real one.
    pub fn honest() -> Self {
        Self::start(|_, request| Some((200, honest(request))))
    }

    pub fn requests(&self, path: &str) -> Vec<Request> {
        let all = self.requests.lock().unwrap();
        all.iter().filter(|request| request.0 == path).cloned().collect()
    }

    /// Returns all lines of a file that was streamed, at their offsets.
    pub fn lines(&self, file: &str) -> Vec<Value> {
        let mut lines = Vec::new();
        for (_, _, body) in self.requests("/files/me/calls/abc/file_stream") {
            let body: Value = serde_json::from_str(&body).unwrap();
            let part = &body["files"][file];
            let content = part["content"].as_array().into_iter().flatten();
            let offset = part["offset"].as_u64().unwrap_or(lines.len() as u64) as usize;
            lines.truncate(offset);
            assert_eq!(lines.len(), offset, "a gap");
            lines.extend(content.map(|line| serde_json::from_str(line.as_str().unwrap()).unwrap()));
        }
        lines
    }
}

fn serve(mut stream: TcpStream, answer: &Answers, seen: &Mutex<Vec<Request>>) {
    while let Some(request) = read(&stream) {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len()
        };
        let Some((status, body)) = answer(number, &request) else {
            return;
        };
        let head = format!(
            "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        match line.trim() {
            "" => break,
            line => lines.push(line.to_string()),
        }
    }
    let header = |name: &str| {
        let named = |line: &&String| line.to_lowercase().starts_with(&format!("{name}:"));
        let line = lines.iter().find(named);
        line.map_or("", |line| line.split_once(':').unwrap().1.trim())
            .to_string()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let path = lines[0].split(' ').nth(1)?.to_string();
    Some((path, header("authorization"), String::from_utf8(body).ok()?))
}

/// Answers as the real server does.
pub fn honest((path, _, body): &Request) -> String {
    let answer = match path.as_str() {
        "/graphql" if body.contains("createRunFiles") => json!({"createRunFiles": {
            "runID": "abc", "uploadHeaders": [], "files": [{"name": "x", "uploadUrl": "/storage/x"}]
        }}),
        "/graphql" => json!({"upsertBucket": {"inserted": true, "bucket": {
            "name": "abc", "historyLineCount": 0, "project": {"name": "calls", "entity": {"name": "me"}}
        }}}),
        _ => Value::Null,
    };
    json!({ "data": answer }).to_string()
}
