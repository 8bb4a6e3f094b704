//! What trackers are told of a run, and the log that is saved with the model.

mod event_file;
#[cfg(feature = "cli")]
mod program;
mod state;
mod tensorboard;
