use super::meet::Place;
use super::*;
use crate::collective::{Collective, Launcher};
use std::net::TcpListener;
use std::thread;

/// A port that was free a moment ago.
fn place() -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Place {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
    }
}

fn launch(rank: usize, size: usize) -> Launch {
    Launch {
        launcher: Launcher::Torchrun,
        rank,
        size,
        local_rank: rank,
        local_size: size,
    }
}

#[test]
fn ranks_meet_whatever_the_order_in_which_they_come() {
    let place = place();
    let stranger = place.clone();
    let join = |rank: usize| {
        let place = place.clone();
        move || {
            thread::sleep(Duration::from_millis([300, 0, 600, 150][rank]));
            let ranks = join_at(place, &launch(rank, 4), Duration::from_secs(60)).unwrap();
            ranks.exchange(&[rank as f64, 0.5]).unwrap()
        }
    };
    let threads: Vec<_> = (0..4).map(|rank| thread::spawn(join(rank))).collect();
    thread::sleep(Duration::from_millis(400));
    if let Ok(mut stranger) = TcpStream::connect((stranger.host.as_str(), stranger.port)) {
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").ok(); // no rank; nobody minds
    }
    for thread in threads {
        let numbers = thread.join().unwrap();
        assert_eq!(numbers, [[0.0, 0.5], [1.0, 0.5], [2.0, 0.5], [3.0, 0.5]]);
    }
}

#[test]
fn a_rank_that_does_not_come_is_named() {
    let place = place();
    let wait = |rank: usize| {
        let refused = join_at(place.clone(), &launch(rank, 3), Duration::from_millis(300));
        refused.unwrap_err().to_string()
    };
    assert!(wait(1).starts_with("rank 0: rank 1 has tried for 300ms to reach it at 127.0.0.1:"));
    assert_eq!(wait(0), "ranks 1, 2: rank 0 has waited 300ms for it to come");
}

#[test]
fn the_place_comes_from_the_environment() {
    let read = |variables: &[(&str, &str)]| {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name);
        Place::read(|name| value(name).map(|(_, text)| text.to_string()))
    };
    let by_hand = [("MASTER_ADDR", "node0"), ("MASTER_PORT", "29500")];
    assert_eq!(read(&by_hand).unwrap().port, 29500);
    let torchrun = [by_hand[0], by_hand[1], ("TORCHELASTIC_USE_AGENT_STORE", "True")];
    assert_eq!(read(&torchrun).unwrap().port, 29501);
    let missing = read(&by_hand[..1]).unwrap_err().to_string();
    assert!(missing.starts_with("MASTER_PORT: is missing"), "{missing}");
    let wrong = read(&[by_hand[0], ("MASTER_PORT", "http")])
        .unwrap_err()
        .to_string();
    assert_eq!(wrong, "MASTER_PORT: `http` is not a port");
}
