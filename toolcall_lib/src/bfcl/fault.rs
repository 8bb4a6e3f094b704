//! Reasons why a call is not right.

/// Reason why a call is not right.
pub(super) enum Fault {
    /// The call is not the answer.
    Wrong(String),
    /// The leaderboard's checker ends with an exception; no other call can be right then.
    Crash(String),
}

/// Verdict about a call or a value.
pub(super) type Outcome = Result<(), Fault>;

pub(super) fn wrong(problem: impl Into<String>) -> Outcome {
    Err(Fault::Wrong(problem.into()))
}

pub(super) fn crash<T>(problem: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Crash(problem.into()))
}
