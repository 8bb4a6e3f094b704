//! Prompts to replies.

mod confidence;
mod constrained;
mod freely;
mod random_schemas;
mod settings;
mod shared;
mod streaming;
