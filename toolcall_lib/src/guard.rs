//! Guards for code of other crates that works on files from unknown sources.
//!
//! A panic becomes an error, recursion gets a large stack, and work that does not end is given up.

use crate::error::{Error, Result, shortened};
use std::any::Any;
use std::cell::Cell;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// Stack size of a thread that reads a file from an unknown source. Only the part in use takes
/// memory.
const STACK: usize = 512 << 20;
/// Time limit for work that takes milliseconds, or seconds while all cores are busy.
const LONGEST: Duration = Duration::from_secs(60);

thread_local! {
    /// Number of guards around the current work of this thread.
    static GUARDS: Cell<usize> = const { Cell::new(0) };
}

/// Does `work`. A panic in it becomes an error and prints nothing.
pub(crate) fn caught<T>(doing: impl Display, work: impl FnOnce() -> T) -> Result<T> {
    silence_panics();
    GUARDS.set(GUARDS.get() + 1);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDS.set(GUARDS.get() - 1);
    outcome.map_err(|panic| Error::library(doing)(format!("it is damaged ({})", said(&*panic))))
}

/// Does `work` on a thread with a stack that is large enough for any recursion. The work takes
/// milliseconds, unless a file is made to do harm.
///
/// # Errors
/// A panic, or work that does not end in time. Its thread is abandoned.
pub(crate) fn bounded<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (tell, told) = channel();
    let place = doing.to_string();
    let thread = thread::Builder::new()
        .name("guarded".to_string())
        .stack_size(STACK);
    thread
        .spawn(move || drop(tell.send(caught(place, work))))
        .map_err(Error::library(doing))?;
    told.recv_timeout(LONGEST).unwrap_or_else(|_| {
        let seconds = LONGEST.as_secs();
        let problem =
            format!("reading it took more than {seconds} s and was given up; it is damaged or malicious");
        Err(Error::invalid(doing, problem))
    })
}

/// Installs a panic hook that is silent under a guard; other panics go to the previous hook.
fn silence_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if GUARDS.get() == 0 {
                before(panic);
            }
        }));
    });
}

/// Returns the first line of a panic's message.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    match text.lines().next() {
        None | Some("") => "a panic".to_string(),
        Some(line) => shortened(line, 200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        let error = caught("some file", || -> u8 { panic!("no\nsuch row") }).unwrap_err();
        assert_eq!(error.to_string(), "some file: it is damaged (no)");
        assert_eq!(caught("some file", || 7).unwrap(), 7);
        let error = bounded("some file", || -> u8 { [1, 2][std::env::args().count() + 5] }).unwrap_err();
        assert!(error.to_string().contains("out of bounds"), "{error}");
    }

    #[test]
    fn a_thread_of_its_own_has_a_large_stack() {
        fn depth(levels: usize) -> usize {
            let room = std::hint::black_box([levels; 64]);
            if levels == 0 {
                0
            } else {
                depth(room[levels % 64] - 1) + 1
            }
        }
        assert_eq!(bounded("deep", || depth(100_000)).unwrap(), 100_000);
    }
}
