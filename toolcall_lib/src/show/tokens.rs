//! Display of the tokens of a sequence, with those that are trained on marked.

use super::Html;
use super::style::{GOOD, MONO, MUTED, NEUTRAL, counted, grouped, percent};
use crate::error::Result;
use crate::terminal::printable;
use crate::tokens::{Sequence, TokenReport, Tokenizer};
use maud::{Markup, html};
use std::fmt;

/// One token of a [`TokenView`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The token's id.
    pub id: u32,
    /// The token's text; empty if a character takes several tokens and this is not the last of
    /// them.
    pub text: String,
    /// True if the token is a target of training.
    pub trained: bool,
}

/// The tokens that a model sees, with those that it is trained to write.
///
/// The text form puts trained tokens in `⟦…⟧`; the alternate form `{:#}` colours them for a
/// terminal instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// The tokens in order.
    pub tokens: Vec<Token>,
}

impl TokenView {
    /// Creates the view of `sequence`.
    ///
    /// # Errors
    /// An id that the tokenizer cannot decode.
    pub fn new(sequence: &Sequence, tokenizer: &Tokenizer) -> Result<Self> {
        let texts = tokenizer.pieces(&sequence.ids)?;
        let tokens = sequence.ids.iter().zip(texts).zip(&sequence.trained);
        Ok(Self {
            tokens: tokens
                .map(|((&id, text), &trained)| Token { id, text, trained })
                .collect(),
        })
    }

    /// Iterates over runs of tokens that are all trained on, or all not.
    fn runs(&self) -> impl Iterator<Item = &[Token]> {
        self.tokens.chunk_by(|a, b| a.trained == b.trained)
    }

    /// Returns the number of tokens, of trained tokens, and their share.
    fn counts(&self) -> (String, String, String) {
        let trained = self.tokens.iter().filter(|token| token.trained).count();
        let share = trained as f64 / self.tokens.len().max(1) as f64;
        (
            counted(self.tokens.len(), "token"),
            grouped(trained),
            percent(share),
        )
    }
}

impl Html for TokenView {
    fn html(&self) -> Markup {
        let (all, trained, share) = self.counts();
        html! {
            div style={ "margin-bottom:.6em;" (MUTED) } {
                (all) ", "
                span style={ "padding:.1em .4em;background:" (GOOD) } { (trained) " trained on" }
                " (" (share) ")"
            }
            div style={ (MONO) ";line-height:1.7" } {
                @for run in self.runs() {
                    @if run[0].trained {
                        span style={ "padding:.15em 0;background:" (GOOD) } { (run_html(run)) }
                    } @else {
                        (run_html(run))
                    }
                }
            }
        }
    }
}

/// Shades every other token, so that borders show. A token's id is its tooltip.
fn run_html(run: &[Token]) -> Markup {
    html! {
        @for (i, token) in run.iter().enumerate() {
            @if i % 2 == 0 {
                span title=(token.id) { (visible(&token.text)) }
            } @else {
                span title=(token.id) style={ "background:" (NEUTRAL) } { (visible(&token.text)) }
            }
        }
    }
}

/// Shows spaces as faint dots, tabs and line ends as faint arrows.
fn visible(text: &str) -> Markup {
    let faint = |sign: &str| html! { span style="opacity:.4" { (sign) } };
    html! {
        @for part in text.split_inclusive([' ', '\n', '\t']) {
            (part.trim_end_matches([' ', '\n', '\t']))
            @match part.chars().last() {
                Some(' ') => (faint("·")),
                Some('\t') => { (faint("→")) "\t" },
                Some('\n') => { (faint("↵")) "\n" },
                _ => {},
            }
        }
    }
}

impl fmt::Display for TokenView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if f.alternate() {
            ("\x1b[30;42m", "\x1b[0m")
        } else {
            ("⟦", "⟧")
        };
        let (all, trained, share) = self.counts();
        write!(
            f,
            "{all}, {trained} trained on ({share}), marked {open}so{close}\n\n"
        )?;
        for run in self.runs() {
            let text: String = run.iter().map(|token| token.text.as_str()).collect();
            let text = printable(&text);
            if run[0].trained {
                write!(f, "{open}{text}{close}")?;
            } else {
                f.write_str(&text)?;
            }
        }
        Ok(())
    }
}

impl Html for TokenReport {
    fn html(&self) -> Markup {
        html! { div { (self) } }
    }
}
