//! Tools that several test modules need.

pub mod golden;
pub mod tiny_config;
pub mod tiny_model;
pub mod tiny_tokenizer;
pub mod wandb_server;
