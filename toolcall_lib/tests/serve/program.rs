//! `toolcall serve`, as a process.

use super::client::{post, request, said};
use crate::common::tiny_model::tiny_model;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use toolcall_lib::{ToolSchema, save};

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

/// Reads the address that a server prints when it is up.
fn address(output: &mut impl BufRead) -> SocketAddr {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap();
    address.parse().unwrap()
}

#[test]
fn sigterm_ends_it_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tuned");
    save(&tiny_model(), &model).unwrap();
    let mut server = start(&model, &[]);
    let mut output = BufReader::new(server.stdout.take().unwrap());
    let address = address(&mut output);
    let mut body = said("Hi", json!({"max_tokens": 5}));
    body["model"] = json!("tuned");
    let body = body.to_string();
    assert_eq!(
        post(address, "/v1/chat/completions", &[], body.as_bytes()).status,
        200
    );
    let refused = post(address, "/v1/chat/completions", &[], b"[\"my secret\"]");
    let unknown: [&[u8]; 2] = [
        b"{\"x\\nreq_0: a secret\": 1}",
        b"{\"messages\": [{\"secret\": 1}]}",
    ];
    let unknown = unknown.map(|body| post(address, "/v1/chat/completions", &[], body));
    // SAFETY: a signal to our own child.
    unsafe { libc::kill(server.id() as i32, libc::SIGTERM) };
    assert!(server.wait().unwrap().success());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ended\n");
    let log = std::io::read_to_string(server.stderr.take().unwrap()).unwrap();
    let id = refused.header("x-request-id").unwrap();
    let expected = format!("{id}: POST /v1/chat/completions: 400 invalid_json\n");
    assert!(log.contains(&expected) && !log.contains("secret"), "{log}");
    assert_eq!(log.lines().count(), 3, "{log}");
    for (answer, field) in unknown.iter().zip(["", ": messages"]) {
        assert_eq!(answer.status, 400);
        let id = answer.header("x-request-id").unwrap();
        assert!(
            log.contains(&format!("{id}: POST /v1/chat/completions: 400 ")),
            "{log}"
        );
        assert!(
            log.lines()
                .any(|line| line.starts_with(id) && line.ends_with(field)),
            "{log}"
        );
    }
}

/// Clients of `/v1/chat/completions` bring tools of their own.
#[test]
fn a_model_with_tools_that_cannot_be_called_is_served_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("tuned");
    let mut model = tiny_model();
    let parameters = json!({"type": "object", "properties": {"ids": {"type": "array", "uniqueItems": true}}});
    model.tools = vec![ToolSchema::new(json!({"name": "f", "parameters": parameters})).unwrap()];
    save(&model, &place).unwrap();
    let mut server = start(&place, &[]);
    let address = address(&mut BufReader::new(server.stdout.take().unwrap()));
    let get = "GET /v1/models/tuned HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let created = request(address, get, b"").json()["created"].as_u64().unwrap();
    let saved = place.join("model.safetensors").metadata().unwrap();
    assert_eq!(created, saved.mtime() as u64);
    let (status, _, _, message) = post(address, "/predict", &[], b"{\"text\": \"Hi\"}").error();
    assert!(status == 400 && message.contains("uniqueItems"), "{message}");
    server.kill().unwrap();
    let log = std::io::read_to_string(server.stderr.take().unwrap()).unwrap();
    let note = "note: /predict cannot offer the tools of tuned: schema of tool `f`: argument `ids`";
    assert!(log.contains(note), "{log}");
    server.wait().unwrap();
}

#[test]
fn what_cannot_be_served_is_told_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tuned");
    save(&tiny_model(), &model).unwrap();
    let mut base = tiny_model();
    base.generation_config.insert("num_beams".to_string(), json!(4));
    let beams = folder.path().join("base/tuned");
    save(&base, &beams).unwrap();
    let tools = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let wrong = tools("wrong.json", r#"[{"name": 3}]"#);
    let doubled = tools("doubled.json", r#"[{"name": "f"}, {"name": "f"}]"#);
    let parameters = r#"{"type": "object", "properties": {"ids": {"type": "array", "uniqueItems": true}}}"#;
    let unique = tools(
        "unique.json",
        &format!(r#"[{{"name": "f", "parameters": {parameters}}}]"#),
    );
    for (arguments, told) in [
        (
            &["--host", "0.0.0.0"][..],
            "error: --host: other hosts can reach 0.0.0.0:0",
        ),
        (&["--queue", "0"], "error: --queue: 0 would refuse"),
        (
            &["--queue", "18446744073709551615"],
            "error: --queue: found 18446744073709551615, expected at most 1000000",
        ),
        (
            &["--timeout", "18446744073709551615"],
            "error: --timeout: found 18446744073709551615 seconds, expected at most 31536000",
        ),
        (
            &["--base", beams.to_str().unwrap()],
            "generation_config.json: num_beams = 4 is not supported",
        ),
        (&["--host", "192.0.2.1", "--api-key", "k"], "error: 192.0.2.1:0: "),
        (
            &["--base", model.to_str().unwrap()],
            "error: --base: two models are called `tuned`",
        ),
        (&["--tools", &wrong], "wrong.json: tool 0: "),
        (
            &["--tools", &doubled],
            "doubled.json: tuned cannot offer them: tools: two tools are called `f`",
        ),
        (
            &["--tools", &unique],
            "unique.json: tuned cannot offer them: schema of tool `f`: argument `ids`: the keyword `uniqueItems` is not supported",
        ),
    ] {
        let output = start(&model, arguments).wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && text.contains(told),
            "{arguments:?}: {text}"
        );
    }
}
