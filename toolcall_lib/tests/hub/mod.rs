//! Downloads from the hub and uploads to it, against a local server.

mod datasets;
mod hostile;
mod push;
mod receiver;
pub mod server;

use serde_json::json;
use server::{COMMIT, REPO, Server};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use toolcall_lib::weights::hub::{Hub, HubId};

/// Weights that are long enough for several breaks.
fn weights(seed: u8) -> Vec<u8> {
    (0..100_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed)
        .collect()
}

fn model() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("README.md", b"read me".to_vec()),
        ("config.json", b"{}".to_vec()),
        ("chat_template.jinja", b"{{ messages }}".to_vec()),
        ("model.safetensors", weights(0)),
        ("pytorch_model.bin", b"old".to_vec()),
        ("tokenizer.json", b"{\"tokens\": []}".to_vec()),
    ]
}

fn sharded() -> Vec<(&'static str, Vec<u8>)> {
    let map = json!({"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors", "c": "model-1-of-2.safetensors"});
    let mut files = model();
    files.retain(|(name, _)| *name != "model.safetensors");
    files.push((
        "model.safetensors.index.json",
        json!({"weight_map": map}).to_string().into_bytes(),
    ));
    files.extend([
        ("model-1-of-2.safetensors", weights(1)),
        ("model-2-of-2.safetensors", weights(2)),
    ]);
    files
}

fn hub(server: &Server) -> (Hub, TempDir) {
    let cache = tempfile::tempdir().unwrap();
    let endpoint = server.endpoint.clone();
    (
        Hub {
            endpoint,
            cache: cache.path().to_path_buf(),
            token: None,
            offline: false,
            timeout: Duration::from_secs(10),
        },
        cache,
    )
}

fn id() -> HubId {
    HubId::parse(REPO).unwrap()
}

#[track_caller]
fn assert_says(error: toolcall_lib::Error, parts: &[&str]) {
    let error = error.to_string();
    parts
        .iter()
        .for_each(|part| assert!(error.contains(part), "`{part}` is not in: {error}"));
}

/// The names of the files in a snapshot, whose content must be the server's.
fn files(folder: &Path, original: &[(&'static str, Vec<u8>)]) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in &names {
        let (_, bytes) = original.iter().find(|(original, _)| original == name).unwrap();
        assert!(std::fs::read(folder.join(name)).unwrap() == *bytes, "{name}");
    }
    names
}

#[test]
fn only_the_files_that_we_read_are_downloaded_and_the_weights_last() {
    let server = Server::start(model());
    let (hub, cache) = hub(&server);
    let folder = hub.snapshot(&id()).unwrap();
    assert_eq!(
        folder,
        cache.path().join("models--someone--tiny/snapshots").join(COMMIT)
    );
    assert_eq!(
        files(&folder, &model()),
        [
            "chat_template.jinja",
            "config.json",
            "model.safetensors",
            "tokenizer.json"
        ]
    );
    let paths: Vec<String> = server
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert!(
        paths
            .iter()
            .all(|path| !path.contains("README") && !path.contains("pytorch")),
        "{paths:?}"
    );
    assert_eq!(paths.last().unwrap(), "/storage/model.safetensors");
    let branch = cache.path().join("models--someone--tiny/refs/main");
    assert_eq!(std::fs::read_to_string(branch).unwrap(), COMMIT);
}

#[test]
fn a_model_in_the_cache_needs_no_request_and_no_network() {
    let server = Server::start(model());
    let (hub, _cache) = hub(&server);
    let folder = hub.snapshot(&id()).unwrap();
    server.requests();
    assert_eq!(hub.snapshot(&id()).unwrap(), folder);
    assert_eq!(
        hub.snapshot(&HubId::parse(&format!("{REPO}@{COMMIT}")).unwrap())
            .unwrap(),
        folder
    );
    assert_eq!(Hub { offline: true, ..hub }.snapshot(&id()).unwrap(), folder);
    assert!(server.requests().is_empty());
}

#[test]
fn sharded_weights_are_downloaded_by_their_index() {
    let server = Server::start(sharded());
    let (hub, _cache) = hub(&server);
    let names = files(&hub.snapshot(&id()).unwrap(), &sharded());
    assert_eq!(names.iter().filter(|name| name.starts_with("model")).count(), 3);
}

#[test]
fn a_download_that_breaks_off_is_continued_where_it_stopped() {
    let server = Server::start(model());
    let (hub, _cache) = hub(&server);
    server.cut(2);
    let folder = hub.snapshot(&id()).unwrap();
    files(&folder, &model());
    let ranges: Vec<String> = server
        .requests()
        .into_iter()
        .filter(|r| r.path.starts_with("/storage"))
        .filter_map(|r| r.range)
        .collect();
    assert_eq!(ranges, ["bytes=50000-", "bytes=75000-"]);
}

#[test]
fn a_download_that_failed_is_continued_by_the_next_call() {
    let server = Server::start(model());
    let (hub, _cache) = hub(&server);
    server.cut(4);
    assert_says(
        hub.snapshot(&id()).unwrap_err(),
        &[REPO, "model.safetensors", "is continued"],
    );
    server.requests();
    let folder = hub.snapshot(&id()).unwrap();
    files(&folder, &model());
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .any(|request| request.range.as_deref() == Some("bytes=93750-")),
        "{requests:?}"
    );
    assert!(
        requests
            .iter()
            .all(|request| !request.path.ends_with("config.json")),
        "complete files are not requested"
    );
}

#[test]
fn the_token_is_sent_and_never_printed() {
    let server = Server::start(model());
    let (hub, _cache) = hub(&server);
    let hub = Hub {
        token: Some("hf_secret".into()),
        ..hub
    };
    hub.snapshot(&id()).unwrap();
    let requests = server.requests();
    let sent = |request: &server::Request| request.authorization.as_deref() == Some("Bearer hf_secret");
    assert!(
        requests
            .iter()
            .filter(|request| !request.path.starts_with("/storage"))
            .all(sent),
        "{requests:?}"
    );
    assert!(!format!("{hub:?}").contains("secret"));
}

#[test]
fn a_refusal_says_what_to_do() {
    let server = Server::start(model());
    let (hub, _cache) = hub(&server);
    server.refuse(401);
    assert_says(
        hub.snapshot(&id()).unwrap_err(),
        &[REPO, "gated or private", "set HF_TOKEN"],
    );
    let with_token = Hub {
        token: Some("hf_secret".into()),
        ..hub.clone()
    };
    server.refuse(403);
    assert_says(
        with_token.snapshot(&id()).unwrap_err(),
        &[REPO, "your HF_TOKEN has no access", "accept its terms"],
    );
    server.refuse(500);
    assert_says(hub.snapshot(&id()).unwrap_err(), &["HTTP status 500"]);
}

#[test]
fn what_the_hub_does_not_have_is_named() {
    let server = Server::start(model().into_iter().filter(|(name, _)| *name != "tokenizer.json"));
    let (hub, _cache) = hub(&server);
    assert_says(hub.snapshot(&id()).unwrap_err(), &[REPO, "has no tokenizer.json"]);
    let error = hub
        .snapshot(&HubId::parse("someone/tiny@v2").unwrap())
        .unwrap_err();
    assert_says(
        error,
        &[
            "someone/tiny@v2",
            "does not have the model at revision v2",
            "no folder of that name",
        ],
    );
}

#[test]
fn without_a_network_the_error_says_so() {
    let server = Server::start(model());
    let (hub, cache) = hub(&server);
    let nobody = Hub {
        endpoint: "http://127.0.0.1:1".into(),
        ..hub.clone()
    };
    let says = [
        "http://127.0.0.1:1",
        "downloading the model from",
        "go online",
        cache.path().to_str().unwrap(),
    ];
    assert_says(nobody.snapshot(&id()).unwrap_err(), &says);
    let offline = Hub { offline: true, ..hub };
    assert_says(
        offline.snapshot(&id()).unwrap_err(),
        &[REPO, "HF_HUB_OFFLINE", cache.path().to_str().unwrap()],
    );
    assert!(server.requests().is_empty());
}
