//! Requests and replies in the JSON of OpenAI's API.

mod error;
mod fields;
mod messages;
mod reply;
mod request;
mod response_format;
mod tool_choice;

pub(crate) use error::Refusal;
pub(crate) use fields::Fields;
pub(crate) use reply::{Call, Delta, Head, Usage, logprobs, random_id};
pub(crate) use request::{ChatRequest, Defaults, body_object};
