//! Uploads of models to the hub.

use super::server::{COMMIT, REPO, Request, Server};
use super::{assert_says, hub, id};
use crate::common::tiny_model::tiny_model;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use toolcall_lib::checkpoint::push_to;
use toolcall_lib::files::Manifest;
use toolcall_lib::weights::hub::Hub;
use toolcall_lib::{Dtype, PushConfig, Pushed, Result, save};

const TOKEN: &str = "hf_secretSecretSecret";

/// A hub with no repository, a saved model, and the files of its user.
struct Scene {
    server: Server,
    hub: Hub,
    model: PathBuf,
    _folders: [TempDir; 2],
}

fn scene() -> Scene {
    let server = Server::start([]);
    server.state().receiver.token = Some(TOKEN.to_string());
    let (hub, cache) = hub(&server);
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tuned");
    save(&tiny_model(), &model).unwrap();
    Scene {
        server,
        hub: Hub {
            token: Some(TOKEN.to_string()),
            ..hub
        },
        model,
        _folders: [cache, folder],
    }
}

impl Scene {
    fn push(&self, config: &PushConfig) -> Result<Pushed> {
        push_to(&self.hub, &self.model, REPO, config)
    }

    fn push_as_usual(&self) -> Result<Pushed> {
        self.push(&PushConfig::default())
    }

    /// The requests whose path contains a string.
    fn asked(&self, part: &str) -> Vec<Request> {
        let mut requests = self.server.requests();
        requests.retain(|request| request.path.contains(part));
        requests
    }

    /// Checks that everything on the hub is the same as in the folder.
    #[track_caller]
    fn assert_arrived(&self) {
        for (name, bytes) in &self.server.state().files {
            assert!(fs::read(self.model.join(name)).unwrap() == *bytes, "{name}");
        }
    }
}

fn with_gguf() -> PushConfig {
    PushConfig {
        gguf: Some(Dtype::Q8_0),
        ..PushConfig::default()
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = Manifest::read(folder)
        .unwrap()
        .unwrap()
        .files
        .into_keys()
        .collect();
    names.insert("README.md".to_string());
    names
}

fn sorted(names: &[String]) -> BTreeSet<String> {
    names.iter().cloned().collect()
}

#[test]
fn a_saved_model_arrives_whole_and_private_and_loads_from_there() {
    let scene = scene();
    fs::write(scene.model.join("notes.txt"), "mine").unwrap();
    let pushed = scene.push_as_usual().unwrap();
    assert_eq!(pushed.url, format!("{}/{REPO}", scene.server.endpoint));
    assert_eq!((pushed.commit.as_str(), &pushed.known), (COMMIT, &vec![]));
    assert_eq!(sorted(&pushed.uploaded), names(&scene.model), "notes.txt stays");
    assert_eq!(scene.server.state().receiver.private, Some(true));
    scene.assert_arrived();
    let folder = scene.hub.snapshot(&id()).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(fs::read(folder.join(name)).unwrap() == fs::read(scene.model.join(name)).unwrap());
    }
}

#[test]
fn logs_of_the_run_stay_here() {
    let scene = scene();
    let report = toolcall_lib::TrainReport::default();
    report.save(&tiny_model(), &scene.model).unwrap();
    assert!(scene.model.join("train_report.json").is_file());
    let pushed = scene.push_as_usual().unwrap();
    assert!(
        !pushed.uploaded.contains(&"train_report.json".to_string()),
        "{pushed:?}"
    );
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let scene = scene();
    scene.server.state().receiver.chunk = Some(100_000);
    scene.push_as_usual().unwrap();
    let (mut stored, mut asked) = (0, 0);
    let storage = scene.server.storage.trim_start_matches("http://").to_string();
    for request in scene.server.requests() {
        match request.host.as_deref() == Some(storage.as_str()) {
            true => {
                assert_eq!((request.method.as_str(), &request.authorization), ("PUT", &None));
                stored += 1;
            }
            false => {
                let signed = request.path.starts_with("/complete/"); // its address is the key
                let bearer = (!signed).then(|| format!("Bearer {TOKEN}"));
                assert_eq!(request.authorization, bearer, "{}", request.path);
                asked += 1;
            }
        }
    }
    assert!(stored > 1 && asked > 5, "{stored} {asked}");
}

#[test]
fn an_address_elsewhere_that_the_hub_names_gets_no_token() {
    let (scene, elsewhere) = (scene(), Server::start([]));
    scene.server.state().receiver.verify_at = Some(format!("{}/verify", elsewhere.endpoint));
    let error = scene.push_as_usual().unwrap_err();
    assert_says(error, &["storage of the hub at 127.0.0.1", "404"]);
    let theirs = elsewhere.requests();
    assert!(
        theirs.len() == 1 && theirs[0].authorization.is_none(),
        "{theirs:?}"
    );
}

#[test]
fn a_large_file_arrives_in_parts() {
    let scene = scene();
    let length = fs::metadata(scene.model.join("model.safetensors")).unwrap().len() as usize;
    let chunk = length / 3 - 1;
    scene.server.state().receiver.chunk = Some(chunk);
    scene.server.state().receiver.cuts = 1;
    scene.push_as_usual().unwrap();
    scene.assert_arrived();
    let puts = scene.asked("/upload/");
    let lengths: Vec<usize> = puts.iter().map(|put| put.body.len()).collect();
    assert_eq!(lengths, [chunk / 2, chunk, chunk, chunk, length - 3 * chunk]);
}

#[test]
fn an_upload_that_breaks_off_is_sent_again_and_the_rest_is_not() {
    let scene = scene();
    scene.server.state().receiver.cuts = 1;
    scene.push(&with_gguf()).unwrap();
    let puts = scene.asked("/upload/");
    let places: BTreeSet<&str> = puts.iter().map(|put| put.path.as_str()).collect();
    assert_eq!((puts.len(), places.len()), (3, 2), "two files, one of them twice");
}

#[test]
fn a_push_that_failed_is_continued_by_the_next_one() {
    let scene = scene();
    scene.server.state().receiver.full_after = Some(1);
    let error = scene.push(&with_gguf()).unwrap_err();
    assert_says(
        error,
        &[REPO, "HTTP status 400", "what has arrived is not sent again"],
    );
    assert!(
        scene.server.state().receiver.commits.is_empty(),
        "nothing shows before all is there"
    );
    scene.server.state().receiver.full_after = None;
    scene.server.requests();
    let pushed = scene.push(&with_gguf()).unwrap();
    assert_eq!(scene.asked("/upload/").len(), 1);
    assert_eq!(pushed.known, ["model.safetensors"]);
    let gguf = "tiny-Q8_0.gguf".to_string();
    assert!(pushed.uploaded.contains(&gguf) && scene.server.state().files[&gguf].starts_with(b"GGUF"));
}

#[test]
fn what_is_there_is_not_sent_again_and_makes_no_commit() {
    let scene = scene();
    scene.push_as_usual().unwrap();
    scene.server.requests();
    let again = scene.push_as_usual().unwrap();
    assert_eq!(
        (again.uploaded.len(), sorted(&again.known)),
        (0, names(&scene.model))
    );
    assert_eq!(again.commit, COMMIT);
    fs::write(scene.model.join("README.md"), "# Mine\n").unwrap();
    let message = "A page of my own";
    let edited = scene
        .push(&PushConfig {
            commit_message: message.to_string(),
            ..PushConfig::default()
        })
        .unwrap();
    assert_eq!(edited.uploaded, ["README.md"]);
    assert!(scene.asked("/upload/").is_empty());
    assert_eq!(scene.server.state().receiver.commits[1..], [message]);
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_made_twice() {
    let scene = scene();
    scene.server.state().receiver.loses_answer = true;
    let pushed = scene.push_as_usual().unwrap();
    assert_eq!(scene.server.state().receiver.commits.len(), 1);
    assert_eq!(pushed.commit, COMMIT);
}

#[test]
fn a_branch_is_made() {
    let scene = scene();
    let pushed = scene.push(&PushConfig {
        revision: "v2".to_string(),
        ..PushConfig::default()
    });
    assert_eq!(
        pushed.unwrap().url,
        format!("{}/{REPO}/tree/v2", scene.server.endpoint)
    );
    assert_eq!(scene.server.state().receiver.branches, ["v2"]);
    assert_eq!(scene.asked("/commit/v2").len(), 1);
}

#[test]
fn a_public_repository_is_refused_unless_it_is_wanted() {
    let scene = scene();
    scene.server.state().receiver.private = Some(false);
    assert_says(
        scene.push_as_usual().unwrap_err(),
        &[REPO, "is public", "--public"],
    );
    assert!(scene.server.state().files.is_empty());
    let public = PushConfig {
        private: false,
        ..PushConfig::default()
    };
    scene.push(&public).unwrap();
}

#[test]
fn a_refusal_says_what_to_do_and_never_the_token() {
    let scene = scene();
    let page = format!("{}/settings/tokens", scene.server.endpoint);
    let wrong = Hub {
        token: Some("hf_wrongWrongWrong".to_string()),
        ..scene.hub.clone()
    };
    let refused = push_to(&wrong, &scene.model, REPO, &PushConfig::default()).unwrap_err();
    assert!(!refused.to_string().contains("hf_wrong"), "{refused}");
    assert_says(
        refused,
        &[
            "does not accept the token",
            "Invalid credentials",
            &page,
            "HF_TOKEN",
        ],
    );
    let nobody = Hub {
        token: None,
        ..scene.hub.clone()
    };
    let refused = push_to(&nobody, &scene.model, REPO, &PushConfig::default()).unwrap_err();
    assert_says(refused, &[REPO, "needs a token", &page, "hf auth login"]);
    for (path, status, error, says) in [
        (
            "preupload",
            403,
            "Forbidden: read-only",
            vec!["may not write to", "read-only", &page],
        ),
        ("commit/", 409, "", vec!["somebody else has changed", "again"]),
        (
            "commit/",
            413,
            "too large",
            vec!["refuses the files", "413", "too large"],
        ),
        (
            "preupload",
            404,
            "Repository not found",
            vec!["has no someone/tiny", "check the name"],
        ),
    ] {
        scene.server.state().receiver.refusals = vec![(path, status, error)];
        assert_says(scene.push_as_usual().unwrap_err(), &says);
    }
}

#[test]
fn a_repository_without_an_owner_belongs_to_the_user_of_the_token() {
    let scene = scene();
    let push = |hub: &Hub| push_to(hub, &scene.model, "tiny", &PushConfig::default());
    let pushed = push(&scene.hub).unwrap();
    assert!(pushed.url.ends_with(REPO), "{}", pushed.url);
    let wrong = Hub {
        token: Some("hf_wrongWrongWrong".to_string()),
        ..scene.hub.clone()
    };
    let says = ["tiny: the hub does not accept the token", "HF_TOKEN"];
    assert_says(push(&wrong).unwrap_err(), &says);
    scene.server.refuse(403);
    let says = [
        "tiny: ",
        "does not tell the user of the token",
        "status 403",
        "owner/tiny",
    ];
    assert_says(push(&scene.hub).unwrap_err(), &says);
}

#[test]
fn a_token_that_may_not_make_repositories_may_write_to_one_that_is_there() {
    let scene = scene();
    scene.server.state().receiver.refusals = vec![("repos/create", 403, "no rights")];
    scene.server.state().receiver.private = Some(true);
    scene.push_as_usual().unwrap();
    scene.assert_arrived();
}

#[test]
fn a_page_that_the_hub_would_refuse_is_refused_before_anything_is_sent() {
    let scene = scene();
    fs::write(scene.model.join("README.md"), "---\nbase_model: [\n---\n").unwrap();
    let error = scene.push_as_usual().unwrap_err();
    assert_says(error, &["refuses README.md", "\"base_model\" is not valid"]);
    assert!(scene.asked("/upload/").is_empty());
}

#[test]
fn only_a_model_that_was_saved_and_not_changed_since_is_pushed() {
    let scene = scene();
    let refused = |folder: &Path, says: &[&str]| {
        let refused = push_to(&scene.hub, folder, REPO, &PushConfig::default());
        assert_says(refused.unwrap_err(), says);
    };
    let parent = scene.model.parent().unwrap();
    refused(parent, &["holds no model that toolcall saved"]);
    refused(&parent.join("none"), &["is not a folder"]);
    let checkpoint = parent.join("checkpoint-5");
    let list = json!({"config.json": {"bytes": 0, "sha256": ""}, "optimizer/a": {"bytes": 0, "sha256": ""}});
    fs::create_dir(&checkpoint).unwrap();
    fs::write(
        checkpoint.join("toolcall.json"),
        json!({"files": list}).to_string(),
    )
    .unwrap();
    refused(&checkpoint, &["is a checkpoint", "toolcall export"]);
    fs::write(scene.model.join("config.json"), "{}").unwrap();
    refused(&scene.model, &["config.json", "is damaged"]);
    assert!(scene.server.requests().is_empty());
}

/// Runs the program and returns its exit code and its output, which never contains the token.
#[cfg(feature = "cli")]
fn toolcall(scene: &Scene, token: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_toolcall"));
    let home = scene.model.parent().unwrap().join("home"); // without a token file
    command.args(arguments).env_remove("HF_HUB_OFFLINE");
    command
        .env("HF_ENDPOINT", &scene.server.endpoint)
        .env("HF_HOME", home);
    command
        .env("HF_TOKEN", token)
        .env("RUST_LOG", "trace")
        .env("RAYON_NUM_THREADS", "1");
    let output = command.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let is_shown = !token.is_empty() && said.contains(token);
    assert!(!is_shown && !said.contains("signature"), "{said}");
    (output.status.code(), said)
}

#[cfg(feature = "cli")]
#[test]
fn the_command_pushes_and_prints_no_token() {
    let scene = scene();
    let model = scene.model.to_str().unwrap();
    scene.server.state().receiver.cuts = 1;
    let more = ["push", model, REPO, "--gguf", "q8_0", "--message", "Mine"];
    let (code, said) = toolcall(&scene, TOKEN, &more);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "uploading model.safetensors",
        "trying again",
        "tiny-Q8_0.gguf",
        "pushed to http://127.0.0.1",
    ] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert_eq!(scene.server.state().receiver.commits, ["Mine"]);
    let (code, said) = toolcall(&scene, "hf_wrongWrongWrong", &["push", model, REPO]);
    assert_eq!(code, Some(1));
    let says = "error: someone/tiny: the hub does not accept the token";
    assert!(said.starts_with(says), "{said}");
}

#[cfg(feature = "cli")]
#[test]
fn a_repository_without_a_name_or_an_owner_is_that_of_the_folder_and_the_token() {
    let scene = scene();
    let parent = scene.model.parent().unwrap();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tool_heldout.json");
    let train = |token: &str, out: &str, more: &[&str]| {
        let (model, out) = (scene.model.to_str().unwrap(), parent.join(out));
        let run = [
            "train",
            "--model",
            model,
            "--data",
            data,
            "--out",
            out.to_str().unwrap(),
        ];
        let short = ["--max-steps", "1", "--max_samples", "2", "--push_to_hub"];
        toolcall(&scene, token, &[&run[..], &short, more].concat())
    };
    let (code, said) = train("hf_wrongWrongWrong", "tiny", &[]);
    assert!(
        code == Some(1) && said.contains("tiny: the hub does not accept the token"),
        "{said}"
    );
    for (out, more) in [("tiny", &[][..]), ("other", &["--hub_model_id", "tiny"])] {
        let (code, said) = train(TOKEN, out, more);
        let told = format!("note: the model will be pushed to {REPO}");
        assert!(code == Some(0) && said.contains(&told), "{said}");
        assert!(
            said.contains(&format!("pushed to {}/{REPO}", scene.server.endpoint)),
            "{said}"
        );
    }
}

#[cfg(feature = "cli")]
#[test]
fn a_run_pushes_its_model_at_the_end_and_keeps_it_where_that_fails() {
    let scene = scene();
    let out = scene.model.parent().unwrap().join("run");
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tool_heldout.json");
    let train = |token: &str| {
        let (model, out) = (scene.model.to_str().unwrap(), out.to_str().unwrap());
        let train = [
            "train",
            "--model",
            model,
            "--data",
            data,
            "--out",
            out,
            "--max-steps",
            "1",
        ];
        let push = [
            "--max_samples",
            "2",
            "--push_to_hub",
            "--hub_model_id",
            REPO,
            "--hub_revision",
            "v2",
        ];
        toolcall(&scene, token, &[&train[..], &push].concat())
    };
    let (code, said) = train("");
    assert!(code == Some(1) && said.contains("needs a token"), "{said}");
    assert!(!out.join("config.json").exists(), "before the work");
    let (code, said) = train("hf_wrongWrongWrong");
    let says = format!(
        "but not pushed; `toolcall push {} {REPO} --revision v2` does it",
        out.display()
    );
    assert!(code == Some(1) && said.contains(&says), "{said}");
    assert!(out.join("config.json").exists());
    let (code, said) = train(TOKEN);
    assert!(code == Some(0) && said.contains("pushed to"), "{said}");
    let arrived = scene.server.state().files["README.md"].clone();
    assert_eq!(fs::read(out.join("README.md")).unwrap(), arrived);
}
