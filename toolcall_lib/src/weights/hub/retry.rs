//! Retries with exponential backoff.

use super::client::Failure;
use crate::error::tell;
use crate::interrupt;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Retries of an upload.
pub(super) const RETRIES: u32 = 5;
/// Pause of an upload before the first retry; each pause is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(500);
/// Time between two checks, in a pause, whether the user wants to stop.
const TICK: Duration = Duration::from_millis(50);

/// Number of retries that are left, and the pause before the next.
pub(super) struct Patience {
    left: u32,
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self::of(RETRIES, PAUSE)
    }
}

impl Patience {
    /// Allows this many retries, the first of them after this pause.
    pub fn of(retries: u32, pause: Duration) -> Self {
        Self { left: retries, pause }
    }

    /// Does `work`, and retries it as long as that may help.
    pub fn retry<T>(mut self, mut work: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        loop {
            match work() {
                Err(failure) if self.allows(&failure) => {}
                outcome => return outcome,
            }
        }
    }

    /// Waits and returns true if a retry may succeed, and the user has not asked to stop.
    pub fn allows(&mut self, failure: &Failure) -> bool {
        let Some(problem) = passing(failure) else {
            return false;
        };
        if self.left == 0 || interrupt::is_stopping() {
            return false;
        }
        tell(format!("{problem}; trying again"));
        let end = Instant::now() + self.pause;
        while Instant::now() < end && !interrupt::is_stopping() {
            sleep(TICK.min(self.pause));
        }
        self.left -= 1;
        self.pause *= 2;
        !interrupt::is_stopping()
    }
}

/// Returns the problem if a retry may succeed.
fn passing(failure: &Failure) -> Option<String> {
    let busy = |status: &u16| matches!(status, 408 | 429 | 500..);
    match failure {
        Failure::Connection(problem) => Some(format!("the connection failed ({problem})")),
        Failure::Status(status) | Failure::Refused(status, _) if busy(status) => {
            Some(format!("the hub answers with HTTP status {status}"))
        }
        // two requests of one user at the same time
        Failure::Refused(409, said) if said.contains("conflicting operation is in progress") => {
            Some("the hub is busy with another of your requests".to_string())
        }
        Failure::Storage(host, status) if busy(status) => {
            Some(format!("{host} answers with HTTP status {status}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_a_few_times_and_nothing_else_is() {
        let broken = || Failure::Connection("it broke off".to_string());
        let mut patience = Patience::of(2, Duration::from_millis(1));
        let tries: Vec<bool> = (0..3).map(|_| patience.allows(&broken())).collect();
        assert_eq!(tries, [true, true, false]);
        for failure in [
            Failure::Refused(401, String::new()),
            Failure::Refused(409, "exists".to_string()),
            Failure::Answer("nonsense".to_string()),
            Failure::Storage("host".to_string(), 400),
        ] {
            assert!(!Patience::default().allows(&failure), "{failure:?}");
        }
        assert!(passing(&Failure::Refused(503, String::new())).is_some());
    }
}
