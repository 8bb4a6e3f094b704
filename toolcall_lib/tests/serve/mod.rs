//! Tests of the server over a socket. Its model has random weights: its text is noise, its calls
//! are constrained to the tools.

mod chat;
mod client;
mod errors;
mod load;
mod program;
