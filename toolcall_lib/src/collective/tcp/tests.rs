use super::greeting::{Guest, HELLO, Key, Progress};
use super::*;
use crate::collective::{Collective, Launcher};
use std::net::{IpAddr, TcpListener};
use std::thread;
use std::time::Instant;

/// Returns a place on this machine, at a port that was free a moment ago.
fn place_of(secret: &str) -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Place {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        key: Key::new(secret.as_bytes()),
        is_secret: true,
    }
}

fn place() -> Place {
    place_of("of this job")
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

fn join(place: Place, rank: usize, size: usize, timeout: Duration) -> Result<Vec<Vec<f64>>> {
    let ranks = join_at(place, &launch(rank, size), timeout)?;
    ranks.exchange(&[rank as f64, 0.5])
}

/// Connects to rank 0, which may not listen yet.
fn connect(place: &Place) -> TcpStream {
    loop {
        match TcpStream::connect((place.host.as_str(), place.port)) {
            Ok(stream) => return stream,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Makes the greeting of a rank.
fn hello(rank: u32, size: u32) -> [u8; HELLO] {
    let mut hello = [7; HELLO];
    hello[..8].copy_from_slice(b"toolcal2");
    hello[8..12].copy_from_slice(&rank.to_le_bytes());
    hello[12..16].copy_from_slice(&size.to_le_bytes());
    hello
}

#[test]
fn ranks_meet_whatever_the_order_in_which_they_come() {
    let place = place();
    let join = |rank: usize| {
        let place = place.clone();
        move || {
            thread::sleep(Duration::from_millis([300, 0, 600, 150][rank]));
            join(place, rank, 4, Duration::from_secs(60)).unwrap()
        }
    };
    let threads: Vec<_> = (0..4).map(|rank| thread::spawn(join(rank))).collect();
    for thread in threads {
        let numbers = thread.join().unwrap();
        assert_eq!(numbers, [[0.0, 0.5], [1.0, 0.5], [2.0, 0.5], [3.0, 0.5]]);
    }
}

/// Opens connections of all kinds at once: silent ones, ones that send nonsense, ones that greet
/// like a rank and cannot prove it, and ones that leave.
#[test]
fn strangers_neither_join_nor_hold_up_nor_end_a_meeting() {
    let place = place();
    let target = place.clone();
    let strangers = thread::spawn(move || {
        let mut kept = Vec::new();
        for i in 0..60 {
            let mut stream = connect(&target);
            let said = match i % 6 {
                0 | 1 => Ok(()), // silent
                2 => stream.write_all(b"GET / HTTP/1.1\r\n\r\n"),
                3 => stream
                    .write_all(&hello(1, 3))
                    .and_then(|()| stream.write_all(&[0; 32])),
                4 => stream.write_all(&hello(u32::MAX, 3)),
                _ => stream.write_all(&hello(2, 3)[..11]),
            };
            said.ok();
            kept.push(stream);
        }
        kept
    });
    let others: Vec<_> = [0, 1, 2]
        .map(|rank| {
            let place = place.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis([0, 300, 400][rank]));
                join(place, rank, 3, Duration::from_secs(60)).unwrap()
            })
        })
        .into();
    let kept = strangers.join().unwrap();
    for other in others {
        assert_eq!(other.join().unwrap(), [[0.0, 0.5], [1.0, 0.5], [2.0, 0.5]]);
    }
    drop(kept);
}

#[test]
fn silent_connections_do_not_delay_the_limit() {
    let place = place();
    let target = place.clone();
    let started = Instant::now();
    let waiting = thread::spawn(move || join(place, 0, 2, Duration::from_secs(2)).unwrap_err().to_string());
    let silent: Vec<TcpStream> = (0..30).map(|_| connect(&target)).collect();
    let refused = waiting.join().unwrap();
    assert!(
        refused.starts_with("rank 1: no connection to rank 0 within 2s"),
        "{refused}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    drop(silent);
}

#[test]
fn a_rank_with_another_secret_is_turned_away_and_both_say_so() {
    let ours = place();
    let theirs = Place {
        key: Key::new(b"of another job"),
        ..ours.clone()
    };
    let first = thread::spawn(move || join(ours, 0, 2, Duration::from_secs(2)).unwrap_err().to_string());
    let other = join(theirs, 1, 2, Duration::from_secs(1))
        .unwrap_err()
        .to_string();
    assert!(
        other.contains("is not a rank of this job, or has another secret"),
        "{other}"
    );
    let first = first.join().unwrap();
    assert!(
        first.contains("rank 1: no connection to rank 0 within 2s; "),
        "{first}"
    );
    assert!(first.contains("not ranks") && first.contains("secret"), "{first}");
}

#[test]
fn a_second_process_of_the_same_rank_is_refused_and_the_job_goes_on() {
    let place = place();
    let join = |rank: usize, after: u64| {
        let place = place.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(after));
            join(place, rank, 3, Duration::from_secs(30)).map_err(|error| error.to_string())
        })
    };
    let [first, one, double, two] =
        [join(0, 0), join(1, 200), join(1, 600), join(2, 1200)].map(|t| t.join().unwrap());
    let double = double.unwrap_err();
    assert!(
        double.contains("already knows another process with this rank"),
        "{double}"
    );
    for numbers in [first, one, two] {
        assert_eq!(numbers.unwrap(), [[0.0, 0.5], [1.0, 0.5], [2.0, 0.5]]);
    }
}

/// Checks that the messages of one rank are of no use to an eavesdropper.
#[test]
fn a_greeting_cannot_be_played_again() {
    let key = Key::new(b"secret");
    let shard = Shard { rank: 0, size: 2 };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let visit = |replay: Option<[u8; 32]>| {
        let mut guest = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut host = Guest::new(listener.accept().unwrap().0).unwrap();
        guest.write_all(&hello(1, 2)).unwrap();
        guest.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut answer = [0; 48];
        while matches!(host.go_on(&key, shard), Progress::Waits) && guest.peek(&mut answer).is_err() {}
        guest.read_exact(&mut answer).unwrap();
        let number = answer[..16].try_into().unwrap();
        let code = replay.unwrap_or_else(|| key.proof_for_test(0, &hello(1, 2), &number));
        guest.write_all(&code).unwrap();
        let joined = loop {
            match host.go_on(&key, shard) {
                Progress::Waits => thread::yield_now(),
                Progress::Stranger => break false,
                Progress::Rank(rank, _) => break rank == 1,
            }
        };
        (joined, code)
    };
    let (joined, heard) = visit(None);
    assert!(joined);
    let (joined, _) = visit(Some(heard));
    assert!(!joined, "the same code joins twice");
}

#[test]
fn what_listens_in_the_place_of_the_first_rank_is_not_taken_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place {
        port: listener.local_addr().unwrap().port(),
        ..place()
    };
    let stranger = thread::spawn(move || {
        for mut stream in listener.incoming().take(2).flatten() {
            stream.write_all(&[1; 200]).ok(); // and nothing more
        }
    });
    let refused = join(place, 1, 2, Duration::from_secs(1)).unwrap_err().to_string();
    assert!(
        refused.starts_with("rank 0: rank 1 could not connect to it within 1s: 127.0.0.1:"),
        "{refused}"
    );
    drop(stranger);
}

#[test]
fn a_rank_that_does_not_come_is_named() {
    let place = place();
    let wait = |rank: usize| {
        let refused = join_at(place.clone(), &launch(rank, 3), Duration::from_millis(300));
        refused.unwrap_err().to_string()
    };
    assert!(wait(1).starts_with("rank 0: rank 1 could not connect to it within 300ms: 127.0.0.1:"));
    assert_eq!(wait(0), "ranks 1, 2: no connection to rank 0 within 300ms");
}

/// Returns the address at which rank 0 listens for a host name or address.
fn listens(host: &str, all_here: bool) -> IpAddr {
    let place = Place {
        host: host.into(),
        port: 0,
        ..place()
    };
    place.listen(all_here).unwrap().local_addr().unwrap().ip()
}

#[test]
fn ranks_on_one_host_are_not_to_be_reached_from_others() {
    assert_eq!(listens("127.0.0.1", false).to_string(), "127.0.0.1");
    assert_eq!(listens("127.3.2.1", false).to_string(), "127.3.2.1");
    assert!(listens("localhost", false).is_loopback());
    if TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(listens("::1", false).to_string(), "::1");
        assert_eq!(listens("[::1]", false).to_string(), "::1");
    }
    let own = place().listen_at("127.0.0.1".parse().unwrap(), false).unwrap();
    assert!(own.local_addr().unwrap().ip().is_loopback());
    let hostname = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    if let Ok(addresses) = std::net::ToSocketAddrs::to_socket_addrs(&(hostname.trim(), 0)) {
        let ip = listens(hostname.trim(), true);
        assert!(!ip.is_unspecified() && addresses.into_iter().any(|address| address.ip() == ip));
    }
}

#[test]
fn the_place_comes_from_the_environment() {
    let read = |variables: &[(&str, &str)]| {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name);
        Place::read(|name| value(name).map(|(_, text)| text.to_string()))
    };
    let by_hand = [("MASTER_ADDR", "node0"), ("MASTER_PORT", "29500")];
    let place = read(&by_hand).unwrap();
    assert_eq!((place.port, place.is_secret), (29500, false));
    let torchrun = [by_hand[0], by_hand[1], ("TORCHELASTIC_USE_AGENT_STORE", "True")];
    assert_eq!(read(&torchrun).unwrap().port, 29501);
    let secret = [by_hand[0], by_hand[1], ("TOOLCALL_RANKS_SECRET", "hush")];
    let secret = read(&secret).unwrap();
    assert!(secret.is_secret && secret.key != place.key);
    assert!(!format!("{secret:?}").contains("hush"));
    let run = [by_hand[0], by_hand[1], ("TORCHELASTIC_RUN_ID", "7")];
    assert!(read(&run).unwrap().key != place.key);
    let missing = read(&by_hand[..1]).unwrap_err().to_string();
    assert!(missing.starts_with("MASTER_PORT: is missing"), "{missing}");
    let wrong = read(&[by_hand[0], ("MASTER_PORT", "http")])
        .unwrap_err()
        .to_string();
    assert_eq!(
        wrong,
        "MASTER_PORT: `http` is not a port; expected a number up to 65535"
    );
}
