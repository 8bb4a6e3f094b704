//! Inputs of the shapes that people really have, and what each is read as.

mod adapters;
mod constraint;
mod data;
mod folders;
mod messages;
mod peers;
mod settings;
pub mod templates;
