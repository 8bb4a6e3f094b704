//! `toolcall serve`, as a process.

use super::client::{post, said};
use crate::common::tiny_model::tiny_model;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use toolcall_lib::save;

fn start(folder: &std::path::Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_toolcall"))
        .args(["serve", "--port", "0", "--model"])
        .arg(folder)
        .args(arguments)
        .env_remove("TOOLCALL_API_KEY")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn sigterm_ends_it_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tuned");
    save(&tiny_model(), &model).unwrap();
    let mut server = start(&model, &[]);
    let mut output = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let mut body = said("Hi", json!({"max_tokens": 5}));
    body["model"] = json!("tuned");
    let body = body.to_string();
    assert_eq!(
        post(address, "/v1/chat/completions", &[], body.as_bytes()).status,
        200
    );
    // SAFETY: a signal to our own child.
    unsafe { libc::kill(server.id() as i32, libc::SIGTERM) };
    assert!(server.wait().unwrap().success());
    line.clear();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ended\n");
}

#[test]
fn what_cannot_be_served_is_told_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tuned");
    save(&tiny_model(), &model).unwrap();
    let tools = folder.path().join("tools.json");
    std::fs::write(&tools, r#"[{"name": 3}]"#).unwrap();
    for (arguments, told) in [
        (
            &["--host", "0.0.0.0"][..],
            "error: --host: other hosts can reach 0.0.0.0:0",
        ),
        (&["--queue", "0"], "error: --queue: 0 would refuse"),
        (&["--host", "192.0.2.1", "--api-key", "k"], "error: 192.0.2.1:0: "),
        (
            &["--base", model.to_str().unwrap()],
            "error: --base: two models are called `tuned`",
        ),
        (&["--tools", tools.to_str().unwrap()], "tool 0: "),
    ] {
        let output = start(&model, arguments).wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && text.contains(told),
            "{arguments:?}: {text}"
        );
    }
}
