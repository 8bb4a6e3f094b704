//! Text to token ids, and which of them are trained on.

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
