//! Interrupting a run: Ctrl-C in a terminal, or "Interrupt the kernel" in a notebook, ends the run
//! after its current step and keeps the results.
//!
//! SIGUSR1, which `mpirun` and `srun` pass on to all processes, does the same, and so do SIGTERM
//! (`kill`, a scheduler, a shutdown) and SIGHUP (the terminal was closed). A handler only counts
//! the signals. [`train`](fn@crate::train) and [`generate`](fn@crate::generate) hold a [`Guard`]
//! and ask [`requested`] between two steps.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::low_level;

use crate::error::{Error, Result};

/// Number of interrupts during one run that end the process at once, in case a step does not end.
const PRESSES_TO_QUIT: usize = 3;
/// Base of the exit code: a process that a signal ended exits with this plus the signal's number,
/// as in shells.
const QUIT: i32 = 128;

// Interrupts since the outermost run began, and number of nested runs.
static PRESSES: AtomicUsize = AtomicUsize::new(0);
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// Marks work that can be interrupted, from [`Guard::start`] until it is dropped. Guards may be
/// nested, as generating is within evaluating: the outermost begins without a request, and a
/// request ends all of them.
#[derive(Debug)]
pub struct Guard(());

impl Guard {
    /// Begins the work. From here on, an interrupt asks to stop instead of ending the process.
    ///
    /// # Errors
    /// The operating system refuses a signal handler.
    pub fn start() -> Result<Self> {
        install()?;
        if RUNS.fetch_add(1, SeqCst) == 0 {
            PRESSES.store(0, SeqCst);
        }
        Ok(Self(()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        RUNS.fetch_sub(1, SeqCst);
    }
}

/// Returns true if the user has asked to stop since the outermost run began.
pub fn requested() -> bool {
    PRESSES.load(SeqCst) > 0
}

/// Returns true if work under a guard is to stop. Unlike [`requested`], it ignores the requests to
/// a run that has ended, for work that may also run without a guard.
pub fn is_stopping() -> bool {
    RUNS.load(SeqCst) > 0 && requested()
}

/// Asks the run to stop after its current step, as Ctrl-C does.
pub fn request() {
    PRESSES.fetch_add(1, SeqCst);
}

/// Returns true in the process that runs a notebook's cells; evcxr sets a variable there.
fn in_notebook() -> bool {
    std::env::var_os("EVCXR_IS_RUNTIME").is_some()
}

/// Installs the handlers of the signals that end a run and, in a notebook, shortens panic messages.
/// Does so once, at the first call. The library's own functions must call it, because the process
/// of a notebook is restarted after a crash.
///
/// # Errors
/// The operating system refuses a signal handler.
pub fn install() -> Result<()> {
    static INSTALLED: Once = Once::new();
    let mut outcome = Ok(());
    INSTALLED.call_once(|| {
        let notebook = in_notebook();
        if notebook {
            shorten_panics();
        }
        let heard = [SIGINT, SIGUSR1, SIGTERM, SIGHUP];
        let mut heard = heard.into_iter().filter(|&signal| !is_to_be_ignored(signal));
        outcome = heard
            .try_for_each(|signal| listen(signal, notebook))
            .and_then(|()| outlive(SIGXFSZ));
    });
    outcome
}

/// Returns true if a signal must stay ignored: `nohup` starts a program with SIGHUP ignored, so
/// that it goes on.
fn is_to_be_ignored(signal: i32) -> bool {
    if ![SIGHUP, SIGTERM].contains(&signal) {
        return false;
    }
    // SAFETY: an all-zero `sigaction` is valid, and the call only writes into it.
    let now = unsafe {
        let mut now = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(signal, std::ptr::null(), &raw mut now);
        now
    };
    now.sa_sigaction == libc::SIG_IGN
}

/// Ignores a signal whose system call reports the same problem: a file that would become too large.
fn outlive(signal: i32) -> Result<()> {
    // SAFETY: the handler does nothing.
    let handler = unsafe { low_level::register(signal, || ()) };
    handler
        .map(drop)
        .map_err(Error::library("installing a signal handler"))
}

/// Installs the handler of a signal that ends a run.
fn listen(signal: i32, notebook: bool) -> Result<()> {
    // SAFETY: the handler touches atomics and may call `_exit`; both are async-signal-safe.
    let handler = unsafe { low_level::register(signal, move || pressed(signal, notebook)) };
    handler
        .map(drop)
        .map_err(Error::library("installing the handler of Ctrl-C"))
}

/// Handles a signal. During a run it counts as a request. Between runs it ends a program at once;
/// Ctrl-C does not end a notebook, whose variables would be lost.
fn pressed(signal: i32, notebook: bool) {
    let running = RUNS.load(SeqCst) > 0;
    let quit = if running {
        PRESSES.fetch_add(1, SeqCst) + 1 >= PRESSES_TO_QUIT
    } else {
        !(notebook && [SIGINT, SIGUSR1].contains(&signal))
    };
    if quit {
        low_level::exit(QUIT + signal);
    }
}

/// Prints a panic's place and message in two lines. evcxr switches backtraces on, which would add
/// dozens of lines about its own internals.
fn shorten_panics() {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use super::*;

    const SCENE: &str = "TOOLCALL_TEST_SCENE";

    fn press() {
        low_level::raise(SIGINT).unwrap();
    }

    /// Exit code of a process that SIGINT ended.
    const INTERRUPTED: i32 = QUIT + SIGINT;

    /// Runs a scene in its own process, because signals and panic hooks belong to the whole
    /// process.
    fn play(scene: &str, notebook: bool) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "interrupt::tests::scene", "--nocapture"])
            .env(SCENE, scene);
        if notebook {
            command.env("EVCXR_IS_RUNTIME", "1");
        }
        command.output().unwrap()
    }

    /// The code that `play` runs in the other process; not a test by itself.
    #[test]
    fn scene() {
        match std::env::var(SCENE).as_deref() {
            Ok("press once") => {
                let run = Guard::start().unwrap();
                assert!(!requested());
                press();
                assert!(requested());
                let inner = Guard::start().unwrap();
                assert!(requested(), "an inner run hides the request from the outer one");
                assert!(is_stopping());
                drop((inner, run));
                assert!(requested(), "the request cannot be seen after the run");
                assert!(!is_stopping(), "work without a guard is stopped, too");
                let _next = Guard::start().unwrap();
                assert!(!requested(), "the next run ends at once");
            }
            Ok("press three times") => {
                let _run = Guard::start().unwrap();
                press();
                press();
                println!("still here");
                press();
                println!("too long");
            }
            Ok("press after the run") => {
                drop(Guard::start().unwrap());
                press();
                println!("still here");
            }
            Ok("other signals") => {
                // SAFETY: restoring a signal's default action runs no code. Under nohup the test
                // would find it ignored.
                unsafe { libc::signal(SIGHUP, libc::SIG_DFL) };
                for signal in [SIGTERM, SIGHUP, SIGUSR1] {
                    let _run = Guard::start().unwrap();
                    assert!(!requested());
                    low_level::raise(signal).unwrap();
                    assert!(requested());
                }
                low_level::raise(SIGXFSZ).unwrap();
                low_level::raise(SIGTERM).unwrap();
                println!("still here");
            }
            Ok("ignored") => {
                // SAFETY: ignoring a signal runs no code.
                unsafe { libc::signal(SIGHUP, libc::SIG_IGN) };
                let _run = Guard::start().unwrap();
                low_level::raise(SIGHUP).unwrap();
                assert!(!requested());
            }
            Ok("panic") => {
                let _run = Guard::start().unwrap();
                panic!("no such row");
            }
            _ => {}
        }
    }

    #[test]
    fn one_press_is_a_request_that_ends_with_the_run() {
        let output = play("press once", false);
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn the_third_press_quits() {
        let output = play("press three times", true);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(INTERRUPTED));
        assert!(
            text.contains("still here") && !text.contains("too long"),
            "{text}"
        );
    }

    #[test]
    fn between_runs_a_press_ends_a_program_but_not_a_notebook() {
        assert_eq!(
            play("press after the run", false).status.code(),
            Some(INTERRUPTED)
        );
        let notebook = play("press after the run", true);
        assert!(notebook.status.success(), "{notebook:?}");
    }

    #[test]
    fn other_signals_end_a_run_too_and_between_runs_a_program_and_a_notebook() {
        for notebook in [false, true] {
            let output = play("other signals", notebook);
            assert_eq!(output.status.code(), Some(QUIT + SIGTERM), "{output:?}");
            assert!(!String::from_utf8_lossy(&output.stdout).contains("still here"));
        }
    }

    #[test]
    fn a_program_that_is_to_outlive_its_terminal_does() {
        let output = play("ignored", false);
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn a_panic_in_a_notebook_says_where_and_what_in_two_lines() {
        let output = play("panic", true);
        let text = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            matches!(lines[..], [place, "no such row"] if place.contains("interrupt.rs")),
            "{text}"
        );
    }
}
