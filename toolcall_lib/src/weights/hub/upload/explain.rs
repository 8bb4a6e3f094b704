//! Explains what went wrong with a push, and what to do.

use crate::error::Error;
use crate::interrupt;
use crate::weights::hub::client::Failure;
use crate::weights::hub::retry::RETRIES;
use crate::weights::hub::{Hub, HubId};

/// A repository that everybody sees, where a private one is wanted.
pub(super) const PUBLIC: &str = "is public on the hub, and what is pushed would be too; allow it with \
     --public (`private: false` in the library), make the repository private in its settings, or choose \
     another name";

/// Advice on how to continue a push.
const AGAIN: &str = "run the same command again: what has arrived is not sent again";

/// Returns the problem of a missing token.
pub(super) fn no_token(hub: &Hub) -> String {
    format!(
        "pushing needs a token, and there is none: create one with write access at {}, and set HF_TOKEN to it \
         or run `hf auth login`",
        tokens(hub)
    )
}

/// Returns the problem of a hub that does not tell the user of the token, who would own the
/// repository `name`.
pub(super) fn no_owner(hub: &Hub, name: &str, failure: Failure) -> String {
    let address = hub.address();
    let advice = format!("name the owner too, as in owner/{name}");
    match failure {
        _ if interrupt::requested() => "stopped by the user before anything was sent".to_string(),
        Failure::Status(401) | Failure::Refused(401, _) => format!(
            "the hub does not accept the token: it is wrong or has expired; create a token with write access \
             at {}, and set HF_TOKEN to it",
            tokens(hub)
        ),
        Failure::Status(status) | Failure::Refused(status, _) | Failure::Storage(_, status) => format!(
            "{address} does not tell the user of the token, to whom the repository would belong: it answers \
             with HTTP status {status}; {advice}"
        ),
        Failure::Connection(problem) => format!(
            "{address} cannot be asked for the user of the token, to whom the repository would belong \
             ({problem}); go online and try again"
        ),
        Failure::Answer(problem) => format!(
            "the answer of {address} about the user of the token, to whom the repository would belong, cannot \
             be used: {problem}; {advice}"
        ),
        Failure::Cache(place, error) => Error::io(place)(error).to_string(),
    }
}

fn tokens(hub: &Hub) -> String {
    format!("{}/settings/tokens", hub.address())
}

/// Returns the error for the user. `what` was to be created or uploaded.
pub(super) fn explain(hub: &Hub, id: &HubId, what: &str, failure: Failure) -> Error {
    let (address, tries) = (hub.address(), RETRIES + 1);
    let problem = match failure {
        _ if interrupt::requested() => format!(
            "stopped by the user before the commit, so the hub shows nothing of it yet; to go on, {AGAIN}"
        ),
        Failure::Cache(place, error) => return Error::io(place)(error),
        Failure::Status(status) => refused(hub, id, what, status, ""),
        Failure::Refused(status, said) => refused(hub, id, what, status, &said),
        Failure::Storage(host, status) => format!(
            "the storage of the hub at {host} does not take {what}: it answers with HTTP status {status}; \
             {AGAIN}"
        ),
        Failure::Connection(problem) => {
            format!(
                "{address} cannot be reached for {what}, {tries} tries failed ({problem}); go online, and \
                 {AGAIN}"
            )
        }
        Failure::Answer(problem) => format!(
            "the answer of {address} about {what} cannot be used: {problem}; if HF_ENDPOINT names a mirror, \
             try without it"
        ),
    };
    hub.wrong(id, problem)
}

fn refused(hub: &Hub, id: &HubId, what: &str, status: u16, said: &str) -> String {
    let (repo, tokens) = (&id.repo, tokens(hub));
    let said = match said.trim() {
        "" => String::new(),
        said => format!(" (it says: {said})"),
    };
    match status {
        401 => format!(
            "the hub does not accept the token{said}: it is wrong or has expired, or there is no such \
             repository; create a token with write access at {tokens}, and set HF_TOKEN to it"
        ),
        403 => format!(
            "the token may not write to {repo}{said}; create one that may at {tokens} and set HF_TOKEN to it, \
             or choose a name under your own account or one of your organizations"
        ),
        404 => format!(
            "the hub has no {repo} at revision {}, or the token may not see it{said}; check the name and the \
             token ({tokens})",
            id.revision
        ),
        409 | 412 => format!("somebody else has changed {repo} meanwhile{said}; {AGAIN}"),
        408 | 429 | 500.. => format!(
            "the hub answers with HTTP status {status} for {what}{said}, also after {RETRIES} more tries; \
             wait, and {AGAIN}"
        ),
        _ => format!(
            "the hub refuses {what} with HTTP status {status}{said}; change what it names, and push again"
        ),
    }
}
