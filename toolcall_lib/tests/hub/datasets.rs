//! Data sets on the hub, against the same server.

use super::server::{COMMIT, REPO, Server, write};
use super::{assert_says, hub, id};
use crate::formats::made::{expected, jsonl, rows, tokens};
use serde_json::{Value, json};
use toolcall_lib::data_source::DataSource;
use toolcall_lib::weights::hub::Hub;

const CARD: &str = "---\nconfigs:\n- config_name: short\n  default: true\n  data_files:\n  - split: train\n    path: short/*.jsonl\n\
    \x20 - split: test\n    path: short/held out.json\n- config_name: long\n  data_files: long.json\n---\n# Data\n";

fn data() -> Vec<(&'static str, Vec<u8>)> {
    let first = |count: usize| Value::from(&rows()[..count]).to_string().into_bytes();
    vec![
        ("README.md", CARD.into()),
        ("short/rows.jsonl", jsonl().into()),
        ("short/held out.json", first(1)),
        ("long.json", first(2)),
        ("pictures/a.png", vec![0; 100]),
    ]
}

fn source(config: Option<&str>, split: Option<&str>) -> DataSource {
    DataSource {
        config: config.map(String::from),
        split: split.map(String::from),
        ..DataSource::named(REPO).unwrap()
    }
}

fn paths(server: &Server) -> Vec<String> {
    let requests = server.requests().into_iter();
    requests
        .filter(|one| one.method == "GET")
        .map(|one| one.path)
        .collect()
}

#[test]
fn the_card_says_which_files_are_downloaded() {
    let server = Server::start(data());
    let (hub, cache) = hub(&server);
    let loaded = source(None, None).load_from(&hub).unwrap();
    assert!(tokens(&loaded) == expected());
    let of = |file: &str| format!("/datasets/{REPO}/resolve/{COMMIT}/{file}");
    let info = format!("/api/datasets/{REPO}/revision/main");
    assert_eq!(paths(&server), [info, of("README.md"), of("short/rows.jsonl")]);
    let file = &loaded.files()[0].file;
    assert!(
        file.starts_with(
            cache
                .path()
                .join("datasets--someone--tiny/snapshots")
                .join(COMMIT)
        )
    );
    assert_eq!(source(None, Some("test")).load_from(&hub).unwrap().rows.len(), 1);
    assert_eq!(paths(&server), [of("short/held%20out.json")]);
    assert_eq!(source(Some("long"), None).load_from(&hub).unwrap().rows.len(), 2);
    for (config, split, says) in [
        (
            None,
            Some("dev"),
            "has no split `dev`; its splits are train, test",
        ),
        (
            Some("other"),
            None,
            "has no config `other`; its configs are short, long",
        ),
    ] {
        assert_says(source(config, split).load_from(&hub).unwrap_err(), &[REPO, says]);
    }
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_comes_from_the_storage_and_trains_the_same_tokens() {
    use crate::formats::parquet::nested;
    use parquet::basic::Compression;
    let files = [
        ("data/train-00000-of-00001.parquet", nested(Compression::SNAPPY)),
        ("data/test-00000-of-00001.parquet", vec![]),
    ];
    let server = Server::start(files);
    let (hub, _cache) = hub(&server);
    server.cut(2);
    assert!(tokens(&source(None, None).load_from(&hub).unwrap()) == expected());
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .any(|one| one.path.starts_with("/storage/") && one.range.is_some()),
        "it is continued"
    );
    assert!(requests.iter().all(|one| !one.path.contains("test-")));
}

#[test]
fn a_data_set_in_the_cache_needs_no_network() {
    let server = Server::start(data());
    let (hub, _cache) = hub(&server);
    source(None, None).load_from(&hub).unwrap();
    server.requests();
    let offline = Hub {
        offline: true,
        ..hub.clone()
    };
    for hub in [&hub, &offline] {
        assert!(tokens(&source(None, None).load_from(hub).unwrap()) == expected());
    }
    assert!(server.requests().is_empty());
    let error = source(Some("long"), None).load_from(&offline).unwrap_err();
    assert_says(
        error,
        &[REPO, "its file long.json is not in", "unset HF_HUB_OFFLINE"],
    );
    let empty = tempfile::tempdir().unwrap();
    let nothing = Hub {
        cache: empty.path().into(),
        ..offline
    };
    assert_says(
        nothing.dataset(&id()).unwrap_err(),
        &[REPO, "it is not in", "unset HF_HUB_OFFLINE"],
    );
}

#[test]
fn a_data_set_that_may_not_be_read_says_what_to_do() {
    let server = Server::start(data());
    let (hub, _cache) = hub(&server);
    server.refuse(401);
    let error = source(None, None).load_from(&hub).unwrap_err();
    assert_says(
        error,
        &[
            "the hub refuses the data set: it is gated or private",
            &format!("/datasets/{REPO}"),
            "set HF_TOKEN",
        ],
    );
    let with_token = Hub {
        token: Some("hf_secret".into()),
        ..hub.clone()
    };
    server.refuse(403);
    let error = source(None, None).load_from(&with_token).unwrap_err();
    assert!(!error.to_string().contains("hf_secret"));
    assert_says(
        error,
        &["your HF_TOKEN has no access, or there is no such data set"],
    );
    server.refuse(404);
    assert_says(
        source(None, None).load_from(&hub).unwrap_err(),
        &[REPO, "does not have the data set at revision main"],
    );
}

#[test]
fn names_that_a_hub_gives_stay_in_the_cache() {
    for name in [
        "../../../../written",
        "/written",
        "a/../../x.json",
        "",
        "a\u{1b}.json",
    ] {
        let server = Server::start(data());
        let (hub, cache) = hub(&server);
        let body =
            json!({"sha": COMMIT, "siblings": [{"rfilename": "README.md"}, {"rfilename": name}]}).to_string();
        server.play(move |request, stream| {
            request.path.starts_with("/api/") && write(stream, 200, &[], body.as_bytes(), body.len()).is_ok()
        });
        assert_says(
            source(None, None).load_from(&hub).unwrap_err(),
            &[REPO, "which is not a path in a folder"],
        );
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_data_set_without_rows_names_its_files() {
    let server = Server::start([("README.md", b"# Pictures".to_vec()), ("a.png", vec![1])]);
    let (hub, _cache) = hub(&server);
    let error = source(None, None).load_from(&hub).unwrap_err();
    assert_says(
        error,
        &[
            REPO,
            "has no file that can be read; expected .json",
            "README.md, a.png",
        ],
    );
}
