//! Requests and replies in the JSON of OpenAI's API.

mod error;
mod fields;
mod reply;
mod request;
mod response_format;

pub(crate) use error::Refusal;
pub(crate) use fields::Fields;
pub(crate) use reply::{Call, Delta, Head, Usage, logprobs, random_id};
pub(crate) use request::{ChatRequest, Defaults, body_object};
