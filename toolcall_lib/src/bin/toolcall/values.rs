//! Values of flags.

/// Reads a number of things, of which there has to be one.
pub fn one_or_more(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected 1 or more".to_string()),
    }
}
