//! A hub that is malicious or broken: it cannot write outside of its place, and everything that it
//! says is checked.

use super::server::{COMMIT, REPO, Request, Server, sha256, write};
use super::{assert_says, hub, id, model, weights};
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use toolcall_lib::weights::hub::{Hub, HubId};

const TOKEN: &str = "hf_secret";

fn with_token(hub: &Hub) -> Hub {
    Hub {
        token: Some(TOKEN.into()),
        ..hub.clone()
    }
}

/// All files and folders in `folder`; links are not followed.
fn all_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            found.extend(all_in(&entry.path()));
        }
    }
    found
}

fn is_weights(request: &Request) -> bool {
    request.path.contains("/resolve/") && request.path.ends_with(".safetensors")
}

/// The hub's own answer about its weights, with other headers.
fn announce(stream: &mut TcpStream, headers: &[(&str, String)]) -> bool {
    write(stream, 302, headers, b"", 0).is_ok()
}

#[test]
fn the_token_does_not_go_to_a_host_that_a_redirect_names() {
    let (server, elsewhere) = (Server::start(model()), Server::start(model()));
    let (hub, _cache) = hub(&server);
    let hub = with_token(&hub);
    let other = elsewhere.endpoint.clone();
    server.play(move |request, stream| {
        is_weights(request)
            && announce(
                stream,
                &[
                    ("Location", format!("{other}/storage/model.safetensors")),
                    ("x-linked-etag", format!("\"{}\"", sha256(&weights(0)))),
                    ("x-linked-size", weights(0).len().to_string()),
                ],
            )
    });
    hub.snapshot(&id()).unwrap();
    let theirs = elsewhere.requests();
    assert!(!theirs.is_empty());
    assert!(
        theirs.iter().all(|request| request.authorization.is_none()),
        "{theirs:?}"
    );
    let ours = server.requests();
    assert!(
        ours.iter().all(|request| request.authorization.is_some()),
        "{ours:?}"
    );
}

#[test]
fn a_redirect_of_the_first_answer_takes_no_token_elsewhere_either() {
    let (server, elsewhere) = (Server::start(model()), Server::start(model()));
    let (hub, _cache) = hub(&server);
    let other = elsewhere.endpoint.clone();
    server.play(move |request, stream| {
        let location = format!("{other}{}", request.path);
        request.path.starts_with("/api/") && announce(stream, &[("Location", location)])
    });
    with_token(&hub).snapshot(&id()).unwrap();
    let theirs = elsewhere.requests();
    assert_eq!(theirs.len(), 1);
    assert_eq!(theirs[0].authorization, None);
}

#[test]
fn what_the_hub_calls_a_file_or_a_commit_stays_in_the_cache() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("written");
    let absolute = target.display().to_string();
    for name in [
        &*absolute,
        "../../../../written",
        "..",
        "a/../../../../written",
        ".hidden",
        "",
    ] {
        let server = Server::start(model());
        let (hub, cache) = hub(&server);
        let etag = name.to_string();
        server.play(move |request, stream| {
            let headers = [
                ("x-linked-etag", format!("\"{etag}\"")),
                ("x-linked-size", "7".to_string()),
            ];
            request.path.ends_with("/config.json") && write(stream, 200, &headers, b"", 7).is_ok()
        });
        let before = all_in(outside.path());
        let error = hub.snapshot(&id()).unwrap_err();
        assert_says(error, &[REPO, "config.json", "ETag"]);
        assert_eq!(all_in(outside.path()), before);
        assert!(all_in(cache.path()).iter().all(|path| !path.contains("written")));
    }
    for sha in ["../../../../written", &*absolute, "main", "", "0123"] {
        let server = Server::start(model());
        let (hub, cache) = hub(&server);
        let body = json!({"sha": sha, "siblings": []}).to_string();
        server.play(move |_, stream| write(stream, 200, &[], body.as_bytes(), body.len()).is_ok());
        assert_says(
            hub.snapshot(&id()).unwrap_err(),
            &[REPO, "the commit that it names is not a hash"],
        );
        assert!(all_in(cache.path()).is_empty());
    }
}

#[test]
fn an_index_cannot_name_files_elsewhere() {
    let index = json!({"weight_map": {"a": "../../../../../written"}}).to_string();
    let mut files = model();
    files.retain(|(name, _)| *name != "model.safetensors");
    files.push(("model.safetensors.index.json", index.into_bytes()));
    let server = Server::start(files);
    let (hub, _cache) = hub(&server);
    assert_says(
        hub.snapshot(&id()).unwrap_err(),
        &["weight_map", "is not a file name"],
    );
}

#[test]
fn ids_that_are_paths_are_refused() {
    let server = Server::start(model());
    let (hub, cache) = hub(&server);
    for (repo, revision) in [
        ("../..", "main"),
        ("a/b", "../../x"),
        ("a/b/c", "main"),
        ("a/b", "/etc"),
        ("a/b?x", "main"),
    ] {
        let id = HubId {
            repo: repo.into(),
            revision: revision.into(),
        };
        assert_says(hub.snapshot(&id).unwrap_err(), &["is not a hub id"]);
    }
    assert!(server.requests().is_empty() && all_in(cache.path()).is_empty());
}

/// A file is in the cache only when it is complete and correct.
#[test]
fn damaged_bodies_are_never_cached() {
    let mut other = weights(0);
    other[50_000] ^= 1;
    let short = weights(0)[..60_000].to_vec();
    let long = [weights(0), vec![0; 100]].concat();
    for (name, sent) in [("changed", other), ("short", short), ("long", long)] {
        let server = Server::start(model());
        let (hub, cache) = hub(&server);
        server.play(move |request, stream| {
            request.path.starts_with("/storage/") && write(stream, 200, &[], &sent, sent.len()).is_ok()
        });
        let error = hub.snapshot(&id()).unwrap_err();
        assert_says(error, &[REPO, "model.safetensors"]);
        let snapshot = format!("models--someone--tiny/snapshots/{COMMIT}/model.safetensors");
        assert!(!cache.path().join(snapshot).exists(), "{name}");
        server.play(|_, _| false);
        let folder = hub.snapshot(&id()).unwrap();
        assert!(
            std::fs::read(folder.join("model.safetensors")).unwrap() == weights(0),
            "{name}"
        );
    }
}

/// Files that have no SHA-256 have a length.
#[test]
fn a_small_file_that_is_cut_short_is_not_cached() {
    let server = Server::start(model());
    let (hub, cache) = hub(&server);
    server.play(|request, stream| {
        let tokenizer = request.path.ends_with("/tokenizer.json") && request.method == "GET";
        tokenizer && write(stream, 200, &[], b"{\"tok", 5).is_ok()
    });
    assert_says(
        hub.snapshot(&id()).unwrap_err(),
        &["tokenizer.json", "broke off", "is continued"],
    );
    let snapshot = format!("models--someone--tiny/snapshots/{COMMIT}/tokenizer.json");
    assert!(!cache.path().join(snapshot).exists());
}

#[test]
fn answers_that_no_hub_gives_are_errors() {
    let blob = |headers: Vec<(&'static str, String)>| {
        let server = Server::start(model());
        let (hub, _cache) = hub(&server);
        server.play(move |request, stream| is_weights(request) && announce(stream, &headers));
        hub.snapshot(&id()).unwrap_err()
    };
    let hash = || ("x-linked-etag", format!("\"{}\"", sha256(&weights(0))));
    let to = |place: &str| ("Location", place.to_string());
    assert_says(blob(vec![hash()]), &["redirects without saying where to"]);
    assert_says(
        blob(vec![hash(), to("file:///etc/passwd")]),
        &["to something that is not a"],
    );
    assert_says(blob(vec![hash(), to("http://")]), &["redirects to something"]);
    assert_says(
        blob(vec![hash(), to("http://127.0.0.1:1/x")]),
        &["does not say how long the file is"],
    );
    assert_says(blob(vec![to("http://127.0.0.1:1/x")]), &["has no ETag"]);
    let endless = ("x-linked-size", "18446744073709551615".to_string());
    assert_says(
        blob(vec![hash(), endless, to("http://127.0.0.1:1/x")]),
        &["downloading its file"],
    );
    let other = ("x-repo-commit", COMMIT.replace('0', "1"));
    assert_says(
        blob(vec![hash(), other, to("http://127.0.0.1:1/x")]),
        &["of another commit"],
    );
}

#[test]
fn redirects_in_a_circle_end() {
    let server = Server::start(model());
    let (hub, _cache) = hub(&server);
    server.play(|request, stream| announce(stream, &[("Location", request.path.clone())]));
    assert_says(hub.snapshot(&id()).unwrap_err(), &["redirects more than 5 times"]);
}

#[test]
fn info_that_is_no_info_is_an_error() {
    for body in [
        &b"<html>"[..],
        b"[]",
        b"{\"sha\": 1}",
        b"\xff\xfe",
        b"{\"sha\": \"0",
        &b"[".repeat(100_000),
    ] {
        let server = Server::start(model());
        let (hub, _cache) = hub(&server);
        let body = body.to_vec();
        server.play(move |_, stream| write(stream, 200, &[], &body, body.len()).is_ok());
        assert_says(
            hub.snapshot(&id()).unwrap_err(),
            &[REPO, "about the model cannot be used"],
        );
    }
}

#[test]
fn an_answer_that_does_not_end_is_cut_off() {
    let server = Server::start(model());
    let (hub, _cache) = hub(&server);
    server.play(|_, stream| {
        write(stream, 200, &[], b"", 1_u64 << 40).ok();
        while stream.write_all(&[b' '; 1 << 16]).is_ok() {}
        true
    });
    assert_says(
        hub.snapshot(&id()).unwrap_err(),
        &["it is longer than 16777216 bytes"],
    );
}

/// The hub sends nothing, a header line now and then, or a byte now and then: the limits are those
/// of the connection and of the whole request.
#[test]
fn every_wait_for_a_hub_has_an_end() {
    type Slow = fn(&Request, &mut TcpStream) -> bool;
    let silent: Slow = |_, _| {
        sleep(Duration::from_secs(5));
        true
    };
    let headers: Slow = |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n").ok();
        while stream.write_all(b"x: y\r\n").is_ok() {
            sleep(Duration::from_millis(50));
        }
        true
    };
    let drips: Slow = |_, stream| {
        write(stream, 200, &[], b"", 1_000_000).ok();
        while stream.write_all(b" ").is_ok() {
            sleep(Duration::from_millis(50));
        }
        true
    };
    for (name, slow) in [("silent", silent), ("headers", headers), ("drips", drips)] {
        let server = Server::start(model());
        let (hub, _cache) = hub(&server);
        let hub = Hub {
            timeout: Duration::from_millis(200),
            ..hub
        };
        server.play(slow);
        let started = Instant::now();
        let error = hub.snapshot(&id()).unwrap_err();
        assert_says(error, &[REPO, "took too long"]);
        // 4 x 200 ms and, for the body, the time that its length may take
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{name}: {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn no_error_shows_a_password_or_a_token() {
    let server = Server::start(model());
    let (hub, _cache) = hub(&server);
    let address = server.endpoint.strip_prefix("http://").unwrap().to_string();
    let secret = |hub: &Hub| Hub {
        endpoint: format!("http://me:pass%40word@{address}"),
        token: Some(TOKEN.into()),
        ..hub.clone()
    };
    let hub = secret(&hub);
    hub.snapshot(&id()).unwrap();
    let sent = server.requests();
    assert!(
        sent.iter()
            .all(|request| request.authorization.as_deref() == Some("Basic bWU6cGFzc0B3b3Jk"))
    );
    let quiet = |text: String| {
        for secret in ["me:", "pass%40word", "pass@word", TOKEN] {
            assert!(!text.contains(secret), "`{secret}` is in: {text}");
        }
    };
    quiet(format!("{hub:?}"));
    let fresh = |hub: &Hub| Hub {
        cache: hub.cache.join("fresh"),
        ..hub.clone()
    };
    for status in [401, 403, 404, 416, 500] {
        server.refuse(status);
        quiet(fresh(&hub).snapshot(&id()).unwrap_err().to_string());
    }
    for endpoint in [
        "http://me:pass@word@127.0.0.1:1",
        "http://me:pass@word@no host",
        "me:pass@word@",
        "http://me:pass@word@h?x=1",
    ] {
        let broken = Hub {
            endpoint: endpoint.into(),
            ..fresh(&hub)
        };
        quiet(broken.snapshot(&id()).unwrap_err().to_string());
        quiet(format!("{broken:?}"));
    }
    let broken = Hub {
        token: Some(format!("{TOKEN}\r\nx: y")),
        endpoint: server.endpoint.clone(),
        ..fresh(&hub)
    };
    let error = broken.snapshot(&id()).unwrap_err().to_string();
    assert!(error.contains("HF_TOKEN"), "{error}");
    quiet(error);
}

#[test]
fn a_blob_of_another_length_is_downloaded_again() {
    let server = Server::start(model());
    let (hub, cache) = hub(&server);
    let blobs = cache.path().join("models--someone--tiny/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(sha256(&weights(0))), b"cut short by something else").unwrap();
    let folder = hub.snapshot(&id()).unwrap();
    assert!(std::fs::read(folder.join("model.safetensors")).unwrap() == weights(0));
}

#[test]
fn two_downloads_at_a_time_give_one_model() {
    let server = Server::start(model());
    let (hub, _cache) = hub(&server);
    let folders: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| hub.snapshot(&id()).unwrap()))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(folders.iter().all(|folder| *folder == folders[0]));
    super::files(&folders[0], &model());
}
