//! The part of the server that receives uploads: repositories, the storage of large files, commits.

use super::server::{COMMIT, REPO, Request, Server, State, sha256, write};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::io::Result;
use std::net::TcpStream;

/// Uploads so far, and the faults of the next ones.
#[derive(Default)]
pub struct Receiver {
    /// The expected token.
    pub token: Option<String>,
    /// Visibility of the repository once it exists: true if it is private.
    pub private: Option<bool>,
    pub branches: Vec<String>,
    /// Contents in the storage, by their SHA-256.
    pub objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<String, Vec<u8>>,
    /// Length of the parts of files that are longer.
    pub chunk: Option<usize>,
    /// Number of the next uploads to break off half way.
    pub cuts: usize,
    /// Number of uploads to accept before refusing.
    pub full_after: Option<usize>,
    /// Answers paths that contain a string with a status and an error.
    pub refusals: Vec<(&'static str, u16, &'static str)>,
    /// Accepts the next commit, but does not confirm it.
    pub loses_answer: bool,
    /// Address at which the storage verifies a received file, instead of this server.
    pub verify_at: Option<String>,
    /// The summary of each commit.
    pub commits: Vec<String>,
}

pub fn is_upload(request: &Request) -> bool {
    matches!(request.method.as_str(), "POST" | "PUT")
}

impl Server {
    /// Answers a request that uploads something.
    pub fn receive(&self, state: &mut State, request: &Request, stream: &TcpStream) -> Result<()> {
        let answer = |status: u16, body: Value| {
            let body = body.to_string();
            write(stream, status, &[], body.as_bytes(), body.len())
        };
        let path = request.path.split('?').next().unwrap_or_default();
        if request.method == "PUT" {
            return take(state, path, &request.body, stream);
        }
        if path.starts_with("/complete/") {
            return answer(200, complete(state, &request.body));
        }
        let receiver = &mut state.receiver;
        let expected = receiver.token.as_ref().map(|token| format!("Bearer {token}"));
        if expected.is_some() && request.authorization != expected {
            let repeated = request.authorization.clone().unwrap_or_default();
            return answer(401, json!({"error": format!("Invalid credentials: {repeated}")}));
        }
        let refusal = receiver.refusals.iter().find(|(part, ..)| path.contains(part));
        if let Some((_, status, error)) = refusal {
            return answer(*status, json!({"error": error}));
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let api = format!("/api/models/{REPO}/");
        match path.strip_prefix(&api).unwrap_or(path) {
            "/api/repos/create" if receiver.private.is_some() => {
                answer(409, json!({"error": "You already created this model repo"}))
            }
            "/api/repos/create" => {
                receiver.private = body["private"].as_bool();
                answer(200, json!({"url": format!("{}/{REPO}", self.endpoint)}))
            }
            "/api/validate-yaml"
                if body["content"]
                    .as_str()
                    .is_some_and(|page| page.contains("base_model: [")) =>
            {
                answer(
                    400,
                    json!({"errors": [{"message": "\"base_model\" is not valid"}], "warnings": []}),
                )
            }
            "/api/validate-yaml" => answer(200, json!({"errors": [], "warnings": []})),
            path if path.starts_with("branch/") => {
                receiver.branches.push(path["branch/".len()..].to_string());
                answer(200, json!({}))
            }
            path if path.starts_with("preupload/") => answer(200, modes(state, &body)),
            path if path.starts_with("commit/") => commit(state, &request.body, stream),
            path if path.ends_with(".git/info/lfs/objects/batch") => answer(200, self.batch(state, &body)),
            path if path.ends_with(".git/info/lfs/objects/verify") => answer(200, json!({})),
            _ => answer(404, json!({"error": "Not found"})),
        }
    }

    /// Returns the address for each object in the storage.
    fn batch(&self, state: &State, body: &Value) -> Value {
        let receiver = &state.receiver;
        let objects = body["objects"].as_array().unwrap().iter().map(|object| {
            let (oid, size) = (
                object["oid"].as_str().unwrap(),
                object["size"].as_u64().unwrap() as usize,
            );
            if receiver.objects.contains_key(oid) {
                return object.clone();
            }
            let place = format!("{}/upload/{oid}", self.storage);
            let upload = match receiver.chunk.filter(|chunk| size > *chunk) {
                None => json!({"href": format!("{place}?signature=key")}),
                Some(chunk) => {
                    let mut header = json!({"chunk_size": chunk.to_string()});
                    for part in 1..=size.div_ceil(chunk) {
                        header[format!("{part:05}")] = json!(format!("{place}/{part:05}?signature=key"));
                    }
                    let href = format!("{}/complete/{oid}?signature=key", self.endpoint);
                    json!({"href": href, "header": header})
                }
            };
            let verify = receiver.verify_at.clone();
            let verify =
                verify.unwrap_or_else(|| format!("{}/{REPO}.git/info/lfs/objects/verify", self.endpoint));
            let actions = json!({"upload": upload, "verify": {"href": verify}});
            json!({"oid": oid, "size": size, "actions": actions})
        });
        json!({"transfer": "basic", "objects": objects.collect::<Vec<_>>()})
    }
}

/// Takes an object or a part of one.
fn take(state: &mut State, path: &str, body: &[u8], stream: &TcpStream) -> Result<()> {
    let receiver = &mut state.receiver;
    if receiver
        .full_after
        .is_some_and(|most| receiver.objects.len() >= most)
    {
        return write(stream, 400, &[], b"", 0);
    }
    let name = path.trim_start_matches("/upload/");
    match name.contains('/') {
        true => drop(receiver.parts.insert(name.to_string(), body.to_vec())),
        false => {
            assert_eq!(sha256(body), name);
            receiver.objects.insert(name.to_string(), body.to_vec());
        }
    }
    let etag = ("ETag", format!("\"{}\"", sha256(body)));
    write(stream, 200, &[etag], b"", 0)
}

/// Joins the parts of an object.
fn complete(state: &mut State, body: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap();
    let oid = body["oid"].as_str().unwrap();
    let whole: Vec<u8> = body["parts"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|part| {
            let name = format!("{oid}/{:05}", part["partNumber"].as_u64().unwrap());
            let bytes = state.receiver.parts.remove(&name).unwrap();
            assert_eq!(part["etag"], json!(format!("\"{}\"", sha256(&bytes))));
            bytes
        })
        .collect();
    assert_eq!(sha256(&whole), oid);
    state.receiver.objects.insert(oid.to_string(), whole);
    json!({"success": true})
}

fn modes(state: &State, body: &Value) -> Value {
    let files = body["files"].as_array().unwrap().iter().map(|file| {
        let path = file["path"].as_str().unwrap();
        let large = [".safetensors", ".gguf"].iter().any(|end| path.ends_with(end));
        let there = state.files.get(path);
        let oid = there.map(|bytes| if large { sha256(bytes) } else { git_id(bytes) });
        let mode = if large { "lfs" } else { "regular" };
        json!({"path": path, "uploadMode": mode, "shouldIgnore": false, "oid": oid})
    });
    json!({"files": files.collect::<Vec<_>>()})
}

fn commit(state: &mut State, body: &[u8], stream: &TcpStream) -> Result<()> {
    for line in String::from_utf8_lossy(body).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let value = &line["value"];
        let path = || value["path"].as_str().unwrap().to_string();
        match line["key"].as_str().unwrap() {
            "header" => state
                .receiver
                .commits
                .push(value["summary"].as_str().unwrap().to_string()),
            "file" => {
                let content = STANDARD.decode(value["content"].as_str().unwrap()).unwrap();
                state.files.insert(path(), content);
            }
            "lfsFile" => {
                let content = state.receiver.objects[value["oid"].as_str().unwrap()].clone();
                state.files.insert(path(), content);
            }
            other => panic!("{other}"),
        }
    }
    if std::mem::take(&mut state.receiver.loses_answer) {
        return Ok(());
    }
    let body = json!({"success": true, "commitOid": COMMIT, "commitUrl": "…"}).to_string();
    write(stream, 200, &[], body.as_bytes(), body.len())
}

fn git_id(bytes: &[u8]) -> String {
    let mut hash = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
