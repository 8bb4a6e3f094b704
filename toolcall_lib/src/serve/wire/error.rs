//! Errors in the form of OpenAI's API.

use crate::error::Error;
use serde_json::{Value, json};
use std::fmt;

/// An error that a client gets instead of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The problem: found, expected, and what to do.
    pub message: String,
    /// Field of the request that caused it.
    pub param: Option<String>,
    /// Code for programs.
    pub code: Option<&'static str>,
    /// Seconds after which the client may try again.
    pub retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: u16, code: Option<&'static str>, message: impl fmt::Display) -> Self {
        Self {
            status,
            message: message.to_string(),
            param: None,
            code,
            retry_after: None,
        }
    }

    /// A field whose value does not fit.
    pub fn of_field(field: impl fmt::Display, problem: impl fmt::Display) -> Self {
        let field = field.to_string();
        Self {
            param: Some(field.clone()),
            ..Self::new(400, Some("invalid_value"), format!("{field}: {problem}"))
        }
    }

    /// A field that this server does not know and that may carry meaning.
    pub fn unknown(field: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self {
            code: Some("unknown_parameter"),
            ..Self::of_field(field, problem)
        }
    }

    /// A body that is not a request.
    pub fn of_body(problem: impl fmt::Display) -> Self {
        Self::new(400, Some("invalid_json"), problem)
    }

    /// An error of the library; nearly always it refuses something that the request asks for.
    pub fn of_library(error: &Error) -> Self {
        match error {
            Error::Invalid { place, problem } => {
                let (param, code) = match &**place {
                    "prompt" => ("messages", "context_length_exceeded"),
                    "json_schema" => ("response_format.json_schema.schema", "invalid_value"),
                    "tool_choice" => ("tool_choice", "invalid_value"),
                    place if place.starts_with("schema of tool") => ("tools", "invalid_value"),
                    place if place.starts_with("chat template") => ("messages", "invalid_value"),
                    place => (place, "invalid_value"),
                };
                Self {
                    param: Some(param.to_string()),
                    ..Self::new(400, Some(code), format!("{place}: {problem}"))
                }
            }
            other => Self::internal(other),
        }
    }

    /// A body that is larger than the limit.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than the limit of {limit} bytes");
        Self::new(413, Some("body_too_large"), message)
    }

    /// A body that did not arrive in time.
    pub fn too_slow(seconds: u64) -> Self {
        let message = format!("the body did not arrive within {seconds} s");
        Self::new(408, Some("body_too_slow"), message)
    }

    /// A key that is missing or wrong.
    pub fn wrong_key() -> Self {
        let message = "the key is missing or wrong; send it as `Authorization: Bearer KEY`";
        Self::new(401, Some("invalid_api_key"), message)
    }

    /// A request to another name than those of this host.
    pub fn foreign_host(host: &str) -> Self {
        Self::foreign("foreign_host", "host", host, "hosts or containers")
    }

    /// A foreign page that asks through the browser of someone on this host.
    pub fn foreign_page(origin: &str) -> Self {
        Self::foreign("foreign_page", "page", origin, "pages")
    }

    fn foreign(code: &'static str, what: &str, found: &str, others: &str) -> Self {
        let message = format!(
            "the {what} `{found}` is not this server; start the server with --api-key, and send that key, \
            to use it from other {others}"
        );
        Self::new(403, Some(code), message)
    }

    /// A path that does not exist.
    pub fn no_such_path(path: &str, advice: &str) -> Self {
        Self::new(404, Some("not_found"), format!("there is no {path}; {advice}"))
    }

    /// A body that is compressed.
    pub fn compressed() -> Self {
        let message = "compressed bodies are not read; send the body without Content-Encoding";
        Self::new(415, Some("unsupported_encoding"), message)
    }

    /// A method that the path does not take.
    pub fn wrong_method(method: &str, path: &str) -> Self {
        let message = format!("{path} does not accept {method}; /openapi.json lists the methods");
        Self::new(405, Some("method_not_allowed"), message)
    }

    /// A model that is not served.
    pub fn no_such_model(asked: &str, served: &[&str]) -> Self {
        Self {
            param: Some("model".to_string()),
            ..Self::new(
                404,
                Some("model_not_found"),
                format!(
                    "model: there is no `{asked}`; this server has {}",
                    served.join(", ")
                ),
            )
        }
    }

    /// A full queue.
    pub fn busy(waiting: usize, seconds: u64) -> Self {
        let message = format!(
            "the server is busy: {waiting} requests are being answered or wait; try again in \
            {seconds} s"
        );
        Self {
            retry_after: Some(seconds),
            ..Self::new(429, Some("queue_full"), message)
        }
    }

    /// A reply that took too long.
    pub fn timeout(seconds: f64) -> Self {
        let message = format!("the reply was not complete within {seconds} s; ask for a shorter one");
        Self::new(504, Some("timeout"), message)
    }

    /// Memory that the bodies of other requests have taken.
    pub fn no_room() -> Self {
        let seconds = 2;
        let message = format!("the bodies of other requests have taken all memory; try again in {seconds} s");
        Self {
            retry_after: Some(seconds),
            ..Self::new(503, Some("no_room"), message)
        }
    }

    /// A server that is ending.
    pub fn ending() -> Self {
        let message = "the server is shutting down; try again when it is back";
        Self {
            retry_after: Some(5),
            ..Self::new(503, Some("shutting_down"), message)
        }
    }

    /// An error that no change of the request can avoid.
    pub fn internal(problem: impl fmt::Display) -> Self {
        Self::new(500, Some("internal_error"), problem)
    }

    /// Returns OpenAI's `type` of the error, by which its clients choose an exception.
    fn kind(&self) -> &'static str {
        match self.status {
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// Describes the error for the log, without what a client may have written.
    pub fn for_log(&self) -> String {
        let code = self.code.unwrap_or_default();
        match (self.known_field(), self.status) {
            (_, 500..) => format!("{} {code}: {}", self.status, self.message.replace('\n', " ")),
            (Some(field), _) => format!("{} {code}: {field}", self.status),
            (None, _) => format!("{} {code}", self.status),
        }
    }

    /// Returns the field of the API that is wrong, or has something wrong in it. The rest of a
    /// place may be a client's word, and so is the whole of an unknown one.
    fn known_field(&self) -> Option<&str> {
        let place = self.param.as_deref()?;
        let field = place.split(['.', '[']).next()?;
        let is_unknown = self.code == Some("unknown_parameter") && field == place;
        let is_name = field
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        Some(field).filter(|_| is_name && !is_unknown)
    }

    /// Writes `{"error": {"message", "type", "param", "code"}}`.
    pub fn to_json(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind(),
            "param": self.param,
            "code": self.code,
        }})
    }
}
