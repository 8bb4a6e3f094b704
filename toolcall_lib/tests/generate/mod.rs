//! Prompts to replies.

mod constrained;
mod random_schemas;
