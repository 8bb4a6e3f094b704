//! Text to token ids, with a mark on the tokens that are trained on.
//!
//! [`sequences`] renders one conversation with the chat template and returns the token sequences
//! that it trains; [`tokenize_dataset`] does it for many, on all cores, and reports lengths.
//! [`Tokenizer`] wraps a model's tokenizer, [`TextStream`] turns generated tokens back into text,
//! `reader` checks a `tokenizer.json` from an unknown source, and `vocabulary` serves constrained
//! decoding.

mod reader;
mod dataset;
mod sequences;
mod stream;
mod tokenizer;
mod vocabulary;

pub use dataset::{Overlong, TokenReport, TokenizeConfig, Tokenized, not_shown, tokenize, tokenize_dataset};
pub(crate) use reader::{read_tokenizer, try_out};
pub use sequences::{LossMode, Sequence, sequences};
pub use stream::TextStream;
pub use tokenizer::Tokenizer;
pub(crate) use vocabulary::Grammars;
