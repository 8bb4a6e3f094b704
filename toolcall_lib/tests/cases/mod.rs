//! Inputs in the forms that real users have, and how each is read.

mod adapters;
mod constraint;
mod data;
mod folders;
mod messages;
mod peers;
mod settings;
pub mod templates;
