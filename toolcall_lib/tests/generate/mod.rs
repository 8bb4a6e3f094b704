//! Prompts to replies.

mod constrained;
mod random_schemas;
mod settings;
mod shared;
mod streaming;
