//! The server, asked by a client over a socket. Its model has random weights: what it says is
//! noise, its calls are constrained to the tools.

mod chat;
mod client;
mod errors;
mod load;
mod program;
