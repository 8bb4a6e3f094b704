//! Many clients at once: no client gets the reply of another, and disconnected clients free their
//! memory.

use super::client::{Answer, Served, config, head, read, said, tools};
use crate::common::tiny_model::tiny_model;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use toolcall_lib::Model;
use toolcall_lib::serve::ServeConfig;

/// A request with a reply of the greatest length.
fn long(stream: bool) -> Value {
    said(
        "Go on.",
        json!({"max_tokens": 4000, "stream": stream, "temperature": 1, "seed": 3}),
    )
}

/// Sends a request, and does not read the answer.
fn send(served: &Served, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut stream = TcpStream::connect(served.address).unwrap();
    stream
        .write_all(head("/v1/chat/completions", &[], body.len()).as_bytes())
        .unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

/// A model whose replies never end before the limit.
fn endless() -> Model {
    let mut model = tiny_model();
    model.tokenizer.eos_token_ids = Vec::new();
    model
}

#[test]
fn replies_in_a_crowd_are_those_that_come_alone() {
    let served = Served::tiny();
    let body = |i: usize| {
        let more = match i % 3 {
            0 => json!({"seed": i, "temperature": 1, "logprobs": true}),
            1 => {
                json!({"tools": tools(), "tool_choice": "required", "max_tokens": 300, "seed": i, "temperature": 1})
            }
            _ => json!({"tools": tools(), "stream": true}),
        };
        said(&format!("Set a timer for {i} minutes."), more)
    };
    let told = |answer: Answer| -> (String, Vec<f64>) {
        assert_eq!(answer.status, 200, "{answer:?}");
        let texts: Vec<Value> = match answer.header("content-type") {
            Some("text/event-stream") => answer.pieces(),
            _ => vec![answer.json()],
        };
        let (mut text, mut logprobs) = (String::new(), Vec::new());
        for piece in texts {
            let choice = &piece["choices"][0];
            let tokens = choice["logprobs"]["content"].as_array().into_iter().flatten();
            logprobs.extend(tokens.filter_map(|token| token["logprob"].as_f64()));
            for said in [&choice["message"], &choice["delta"]] {
                text += said["content"].as_str().unwrap_or_default();
                for call in said["tool_calls"].as_array().into_iter().flatten() {
                    text += &call["function"].to_string();
                }
            }
        }
        (text, logprobs)
    };
    let alone: Vec<_> = (0..40).map(|i| told(served.chat(&body(i)))).collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..40)
            .map(|i| {
                let (served, body) = (&served, body(i));
                scope.spawn(move || served.chat(&body))
            })
            .collect();
        asked
            .into_iter()
            .map(|client| told(client.join().unwrap()))
            .collect()
    });
    // Prompts that are read together are summed in another order, which changes the last bits of
    // the logits. This model gives hundreds of tokens nearly the same probability, so sometimes
    // those bits decide a draw. In other replies they only show in the log probabilities; a reply
    // that sees its neighbors differs at once.
    let (same, different): (Vec<_>, Vec<_>) = together
        .iter()
        .zip(&alone)
        .partition(|(together, alone)| together.0 == alone.0);
    assert!(different.len() <= 4, "{different:#?}");
    let logprobs = same
        .iter()
        .flat_map(|(together, alone)| together.1.iter().zip(&alone.1));
    let distances: Vec<f64> = logprobs
        .map(|(together, alone)| (together - alone).abs())
        .collect();
    assert!(distances.len() > 200, "{} tokens are compared", distances.len());
    assert!(distances.iter().all(|distance| *distance < 1e-5), "{distances:?}");
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let small = ServeConfig { queue: 2, ..config() };
    let served = Served::of(vec![endless()], small);
    let first = send(&served, &long(true));
    let second = send(&served, &long(false));
    served.wait_for("toolcall_running", 2);
    let answer = served.chat(&said("Hi", json!({})));
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    let (status, _, code, message) = answer.error();
    assert_eq!((status, &*code), (429, "queue_full"), "{message}");
    drop((first, second));
    served.wait_for("toolcall_running", 0);
    assert_eq!(served.chat(&said("Hi", json!({"max_tokens": 3}))).status, 200);
}

#[test]
fn a_client_that_vanishes_makes_room() {
    let served = Served::of(vec![endless()], config());
    for streams in [true, false] {
        let before = served.metric("toolcall_cancelled_total");
        let mut client = send(&served, &long(streams));
        served.wait_for("toolcall_running", 1);
        if streams {
            client.read_exact(&mut [0; 64]).unwrap();
        }
        drop(client);
        served.wait_for("toolcall_running", 0);
        assert_eq!(served.metric("toolcall_cancelled_total"), before + 1);
    }
    // half a body, and half a head
    let mut half = TcpStream::connect(served.address).unwrap();
    half.write_all(head("/predict", &[], 100).as_bytes()).unwrap();
    half.write_all(b"{\"te").unwrap();
    let mut quarter = TcpStream::connect(served.address).unwrap();
    quarter.write_all(b"POST /pre").unwrap();
    drop((half, quarter));
    assert_eq!(served.chat(&said("Hi", json!({"max_tokens": 3}))).status, 200);
}

/// A proxy closes an idle connection.
#[test]
fn a_stream_that_waits_in_the_queue_says_so() {
    let long_replies = ServeConfig {
        max_tokens: 8000,
        ..config()
    };
    let served = Served::of(vec![endless()], long_replies);
    let mut body = long(true);
    body["max_tokens"] = json!(8000);
    let crowd: Vec<TcpStream> = (0..32).map(|_| send(&served, &body)).collect();
    served.wait_for("toolcall_running", 32);
    let mut waiting = send(&served, &said("Hi", json!({"max_tokens": 3, "stream": true})));
    served.wait_for("toolcall_waiting", 1);
    // one that goes away is counted, although its reply was not begun
    let gone = send(&served, &said("Hi", json!({"max_tokens": 3})));
    served.wait_for("toolcall_waiting", 2);
    drop(gone);
    served.wait_for("toolcall_waiting", 1);
    assert_eq!(served.metric("toolcall_cancelled_total"), 1);
    let mut begun = Vec::new();
    while !String::from_utf8_lossy(&begun).contains(": waiting\n\n") {
        let mut some = [0; 256];
        let count = waiting.read(&mut some).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&begun));
        begun.extend(&some[..count]);
    }
    assert!(String::from_utf8_lossy(&begun).starts_with("HTTP/1.1 200"));
    drop(crowd);
    let mut rest = String::new();
    waiting.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("data: [DONE]"), "{rest}");
}

/// Only bytes that have arrived count against the memory for bodies, not announced ones.
#[test]
fn announced_bodies_keep_nobody_waiting() {
    let served = Served::tiny();
    let announce = |_| {
        let mut client = TcpStream::connect(served.address).unwrap();
        let head = head("/v1/chat/completions", &[], 2_000_000);
        client.write_all(head.as_bytes()).unwrap();
        client
    };
    let silent: Vec<TcpStream> = (0..64).map(announce).collect();
    let started = Instant::now();
    assert_eq!(served.chat(&said("Hi", json!({"max_tokens": 3}))).status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    drop(silent);
}

/// A server that ends finishes its requests, and accepts no new ones.
#[test]
fn the_end_waits_for_what_was_begun() {
    let served = Served::of(vec![endless()], config());
    let body = said("Go on.", json!({"max_tokens": 300, "stream": true}));
    let begun = send(&served, &body);
    served.wait_for("toolcall_running", 1);
    served.ask_to_end();
    let pieces = read(begun).pieces();
    assert_eq!(pieces.last().unwrap()["choices"][0]["finish_reason"], "length");
    let address = served.address;
    served.end().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let hasty = ServeConfig {
        grace: std::time::Duration::from_millis(100),
        max_tokens: 8000,
        ..config()
    };
    let served = Served::of(vec![endless()], hasty);
    let [whole, stream] = [false, true].map(|stream| {
        let mut body = long(stream);
        body["max_tokens"] = json!(8000);
        send(&served, &body)
    });
    served.wait_for("toolcall_running", 2);
    served.end().unwrap();
    let (status, _, code, _) = read(whole).error();
    assert_eq!((status, &*code), (503, "shutting_down"));
    let streamed = read(stream).text;
    let last = streamed.trim_end().rsplit("\n\n").next().unwrap();
    let last: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "shutting_down", "{streamed}");
}
