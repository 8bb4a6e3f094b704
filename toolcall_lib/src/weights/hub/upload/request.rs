//! Requests that change something on the hub, or bring bytes to its storage.
//!
//! The hub itself gets the token. A storage gets none: its address is the permission to write.

use super::super::{Hub, HubId};
use crate::AGENT;
use crate::error::shortened;
use crate::weights::hub::client::{Answer, Client, Failure, failed};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::io::Read;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use ureq::http::{HeaderMap, HeaderValue, Uri};
use ureq::typestate::WithBody;
use ureq::{RequestBuilder, SendBody};

/// The type of a body in JSON.
pub(super) const JSON: &str = "application/json";
/// The type of what Git LFS sends and reads.
pub(super) const LFS: &str = "application/vnd.git-lfs+json";
/// The type of a commit: a JSON object on each line.
pub(super) const LINES: &str = "application/x-ndjson";

/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 16 << 20;
/// Longest words of a refusal that are read, in bytes, and shown, in characters.
const LONGEST_WORDS: (u64, usize) = (64 << 10, 300);
/// Factor of the usual wait in which an answer has to begin: putting a large file together takes a
/// while.
const PATIENCE: u32 = 10;

impl Client {
    /// Sends a body to a path of the hub, with the token, and reads the answer.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<T, Failure> {
        let uri = self.at(path)?;
        let mut answer = self.send_body(&uri, content_type, self.authorization.as_ref(), body)?;
        let body = answer.body_mut().with_config().limit(LONGEST_ANSWER);
        let body = body.read_to_vec().map_err(failed)?;
        serde_json::from_slice(&body).map_err(super::unusable)
    }

    /// Sends JSON to an address that the hub has named, and reads only the status of the answer.
    /// The token is sent only if the address is on the hub itself.
    pub(super) fn notify(&self, uri: &Uri, body: &[u8]) -> Result<(), Failure> {
        let token = self.authorization.as_ref().filter(|_| self.is_ours(uri));
        self.send_body(uri, JSON, token, body).map(drop)
    }

    /// Asks a storage to put the parts of a file together. The address is the permission, so no
    /// token is sent.
    pub(super) fn complete(&self, uri: &Uri, body: &[u8]) -> Result<(), Failure> {
        self.send_body(uri, LFS, None, body).map(drop)
    }

    fn send_body(
        &self,
        uri: &Uri,
        content_type: &str,
        token: Option<&HeaderValue>,
        body: &[u8],
    ) -> Result<Answer, Failure> {
        let mut request = self
            .agent
            .post(uri.clone())
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, content_type);
        if content_type == LFS {
            request = request.header(ACCEPT, LFS);
        }
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = self.patient(request, body.len() as u64);
        self.judged(uri, request.send(body).map_err(failed)?)
    }

    /// Gives a request the time for this many bytes and a slow answer.
    fn patient(&self, request: RequestBuilder<WithBody>, bytes: u64) -> RequestBuilder<WithBody> {
        let patience = PATIENCE * self.timeout;
        request
            .config()
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .timeout_global(Some(patience + self.longest(bytes)))
            .build()
    }

    /// Sends this many bytes to an address in a storage, without the token.
    pub(super) fn put(&self, uri: &Uri, body: &mut dyn Read, bytes: u64) -> Result<HeaderMap, Failure> {
        let request = self
            .agent
            .put(uri.clone())
            .header(USER_AGENT, AGENT)
            .header(CONTENT_LENGTH, bytes);
        let request = self.patient(request, bytes);
        let answer = request.send(SendBody::from_reader(body)).map_err(failed)?;
        let answer = match answer.status().is_success() {
            true => answer,
            false => return Err(storage(uri, &answer)),
        };
        Ok(answer.into_parts().0.headers)
    }

    /// Returns the answer, or the failure that its status means.
    fn judged(&self, uri: &Uri, mut answer: Answer) -> Result<Answer, Failure> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        if !self.is_ours(uri) {
            return Err(storage(uri, &answer));
        }
        if status.is_redirection() {
            let problem = "it redirects what is to be uploaded, as for a repository that was renamed; \
                           give its present name";
            return Err(Failure::Answer(problem.to_string()));
        }
        let words = self.words(&mut answer);
        Err(Failure::Refused(status.as_u16(), words))
    }

    /// Returns the hub's words about a refusal, without the token, which it might repeat.
    fn words(&self, answer: &mut Answer) -> String {
        let header = answer.headers().get("x-error-message");
        let header = header.and_then(|text| text.to_str().ok()).map(str::to_string);
        let body = answer.body_mut().with_config().limit(LONGEST_WORDS.0);
        let body = body.read_to_vec().unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let texts = [&body["error"], &body["errors"][0]["message"], &body["message"]];
        let text = texts.iter().find_map(|text| text.as_str().map(str::to_string));
        let text = header.or(text).unwrap_or_default();
        let secret = self.authorization.as_ref().and_then(|value| value.to_str().ok());
        let secret = secret.and_then(|value| value.split(' ').nth(1));
        let text = secret.map_or(text.clone(), |secret| text.replace(secret, "…"));
        shortened(&text, LONGEST_WORDS.1)
    }
}

/// A storage that refuses, by its host: the rest of the address is a key to write there.
fn storage(uri: &Uri, answer: &Answer) -> Failure {
    let host = uri.host().unwrap_or_default().to_string();
    Failure::Storage(host, answer.status().as_u16())
}

/// A hub, and the repository to which files go.
pub(super) struct Push<'a> {
    pub(super) hub: &'a Hub,
    pub(super) client: Client,
    pub(super) id: &'a HubId,
}

/// For `map_err`: an answer that is not what a hub says.
pub(super) fn unusable(error: impl fmt::Display) -> Failure {
    Failure::Answer(error.to_string())
}
