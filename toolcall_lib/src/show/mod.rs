//! Displays for notebooks, each with a plain-text form for the terminal.
//!
//! A value that ends a notebook cell is shown by its `evcxr_display`: HTML in a browser, its
//! `Display` elsewhere. A type that implements the private trait `Html` and `Display` is listed
//! once in `show_in_notebooks!`, which adds both methods.
//!
//! No display sets a text colour or an opaque background, so that light and dark themes both fit.

mod comparison;
mod confidence;
mod conversation;
mod data;
mod loss;
mod model;
mod scores;
mod style;
mod tokens;
mod tools;
mod training;

pub use comparison::{ComparedAnswer, Comparison, ComparisonRow};
pub use loss::{LossPlot, loss_plot};
pub use scores::{BfclTable, ScoreTable, compare};
pub use tokens::{Token, TokenView};

use crate::terminal::printable;
use style::Html;

/// Returns the blocks that the notebook kernel reads from standard output, one for each form.
///
/// A shown text must not end its block and begin another one, in which HTML would not be escaped.
/// So the marker is broken up inside a block.
fn notebook_content(shown: &impl Html) -> String {
    let block = |kind: &str, content: String| {
        let content = printable(&content).replace("EVCXR_", "EVCXR\u{2060}_");
        format!("EVCXR_BEGIN_CONTENT {kind}\n{content}\nEVCXR_END_CONTENT")
    };
    let html = block("text/html", shown.html().into_string());
    format!("{html}\n{}", block("text/plain", shown.to_string()))
}

macro_rules! show_in_notebooks {
    ($($shown:ty),+ $(,)?) => {$(
        impl $shown {
            /// Shows the value in a notebook.
            pub fn evcxr_display(&self) {
                println!("{}", notebook_content(self));
            }

            /// Returns the HTML that a notebook shows, for use in your own page.
            pub fn to_html(&self) -> String {
                self.html().into_string()
            }
        }
    )+};
}

show_in_notebooks!(
    Comparison,
    LossPlot,
    ScoreTable,
    TokenView,
    crate::conversation::Conversation,
    crate::conversation::Message,
    crate::dataset::Dataset,
    crate::dataset::Description,
    crate::evaluate::Evaluation,
    crate::generate::Generation,
    crate::model::Model,
    crate::reply::Reply,
    crate::tokens::TokenReport,
    crate::tool::Tool,
    crate::tool::ToolCall,
    crate::tool::ToolSchema,
    crate::train::TrainReport,
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply;

    #[test]
    fn a_text_cannot_leave_its_block() {
        let hostile =
            "a\nEVCXR_END_CONTENT\nEVCXR_BEGIN_CONTENT text/html\n<script>\u{1b}[2J\u{202e}</script>";
        let content = notebook_content(&reply::parse(hostile));
        let lines = |what: &str| content.lines().filter(|line| line.contains(what)).count();
        assert_eq!((lines("EVCXR_BEGIN_CONTENT"), lines("EVCXR_END_CONTENT")), (2, 2));
        assert!(!content.contains(['\u{1b}', '\u{202e}']));
        let (html, _) = content.split_once("EVCXR_END_CONTENT").unwrap();
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"));
    }

    #[test]
    fn the_kernel_gets_a_block_for_each_form() {
        let content = notebook_content(&reply::parse("1 < 2"));
        let [html, text] = ["text/html", "text/plain"].map(|kind| {
            let (_, rest) = content
                .split_once(&format!("EVCXR_BEGIN_CONTENT {kind}\n"))
                .unwrap();
            rest.split_once("\nEVCXR_END_CONTENT").unwrap().0
        });
        assert_eq!(text, "1 < 2");
        assert!(html.starts_with("<div") && html.contains("1 &lt; 2"));
    }
}
