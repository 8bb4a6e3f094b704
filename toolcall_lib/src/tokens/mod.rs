//! Text to token ids, and which of them are trained on.

mod dataset;
mod sequences;
mod stream;
mod tokenizer;
mod vocabulary;

pub use dataset::{Overlong, TokenReport, TokenizeConfig, Tokenized, not_shown, tokenize, tokenize_dataset};
pub use sequences::{LossMode, Sequence, sequences};
pub use stream::TextStream;
pub use tokenizer::Tokenizer;
pub(crate) use vocabulary::Grammars;
