//! HTML that notebooks display.

use maud::Markup;
use std::fmt::Display;

/// A value with an HTML form. `maud` escapes all text in it.
pub(super) trait Html: Display {
    fn html(&self) -> Markup;
}
