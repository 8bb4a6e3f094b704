//! Prompts to replies.

mod confidence;
mod constrained;
mod without_tools;
mod random_schemas;
mod settings;
mod shared;
mod streaming;
