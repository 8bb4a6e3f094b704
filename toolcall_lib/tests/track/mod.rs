//! Trackers get every step of a run, and the log is saved with the model.

mod event_file;
#[cfg(feature = "cli")]
mod program;
mod state;
mod tensorboard;
