//! The Jinja environment that transformers gives to chat templates, in minijinja.

use super::NAME;
use super::json::{python_float, tojson};
use super::limits::{LONGEST_SOURCE, limit, with_weights};
use crate::error::{Error, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Output, State, Value, escape_formatter, filters};

/// Makes an environment that holds these templates, by name.
///
/// # Errors
/// A source is not Jinja, or longer than any template needs to be.
pub(super) fn environment(sources: &[(String, String)]) -> Result<Environment<'static>> {
    // 1. Bound the work before anything is parsed.
    if let Some((name, source)) = sources.iter().find(|(_, source)| source.len() > LONGEST_SOURCE) {
        let place = match &**name {
            NAME => NAME.to_string(),
            name => format!("{NAME} `{name}`"),
        };
        let problem = format!("it has {} bytes; expected at most {LONGEST_SOURCE}", source.len());
        return Err(Error::invalid(place, problem));
    }
    let mut environment = Environment::new();
    limit(&mut environment);
    environment.set_debug(true); // errors then name the variable
    // 2. The options, filters, tests and functions of transformers.
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    let syntax = syntax.map_err(invalid)?;
    environment.set_syntax(syntax.clone());
    environment.set_formatter(print);
    environment.add_filter("string", string);
    environment.add_filter("tojson", tojson);
    environment.add_test("iterable", |value: &Value| {
        !value.is_none() && value.try_iter().is_ok()
    });
    environment.add_test("sequence", is_sequence);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    // 3. The templates, adapted to minijinja.
    for (name, source) in sources {
        with_weights(&without_generation_tags(source), &syntax)
            .and_then(|source| environment.add_template_owned(name.clone(), source))
            .map_err(invalid)?;
    }
    Ok(environment)
}

/// Returns the text that Python has for a float; `None` for another value.
fn float_text(value: &Value) -> Option<String> {
    if value.is_integer() || !value.is_number() {
        return None;
    }
    f64::try_from(value.clone()).ok().map(python_float)
}

/// Prints the value of an expression.
fn print(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> std::result::Result<(), minijinja::Error> {
    match float_text(value) {
        Some(text) => Ok(out.write_str(&text)?),
        None => escape_formatter(out, state, value),
    }
}

/// The filter `string`. It is also put after the values that `~` joins (`with_weights`), since
/// minijinja would write their floats as Rust does.
fn string(state: &State<'_, '_>, value: &Value) -> std::result::Result<Value, minijinja::Error> {
    match float_text(value) {
        Some(text) => Ok(text.into()),
        None => filters::string(state, value),
    }
}

/// Returns true if Jinja takes the value for a sequence: everything with a length and an index,
/// strings and mappings included.
fn is_sequence(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Bytes
    )
}

/// Makes an error from one of minijinja: names the line, and adds all causes to the text.
pub(super) fn invalid(error: minijinja::Error) -> Error {
    let place = error
        .line()
        .map_or(NAME.to_string(), |line| format!("{NAME}, line {line}"));
    let mut problem = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_string);
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        problem = format!("{problem}: {inner}");
        cause = inner.source();
    }
    Error::invalid(place, problem)
}

fn raise_exception(message: String) -> std::result::Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// Formats the current local time with a `strftime` format; some templates tell the model the date.
fn strftime_now(format: &str) -> std::result::Result<String, minijinja::Error> {
    let bad_format = |e| minijinja::Error::new(ErrorKind::InvalidOperation, "strftime_now").with_source(e);
    jiff::fmt::strtime::format(format, &jiff::ZonedDateTime::now()).map_err(bad_format)
}

/// Replaces `{% generation %}`, which marks the assistant's text and prints nothing, because
/// minijinja does not know it.
fn without_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag, after)) = next_tag(rest) {
        text.push_str(before);
        match tag.trim_matches(['-', '+']).trim() {
            "generation" => text.push_str(&tag_like(tag, "if true")),
            "endgeneration" => text.push_str(&tag_like(tag, "endif")),
            _ => text.push_str(&format!("{{%{tag}%}}")),
        }
        rest = after;
    }
    text + rest
}

/// Splits the source at the next tag: text before it, tag, text after it.
fn next_tag(source: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = source.split_once("{%")?;
    let (tag, after) = rest.split_once("%}")?;
    Some((before, tag, after))
}

/// Returns a tag with other words and the same whitespace control.
fn tag_like(tag: &str, words: &str) -> String {
    let control = |c: Option<char>| {
        c.filter(|c| "-+".contains(*c))
            .map(String::from)
            .unwrap_or_default()
    };
    format!(
        "{{%{} {words} {}%}}",
        control(tag.chars().next()),
        control(tag.chars().last())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_tags_keep_their_whitespace_control() {
        let source = "a{%- generation -%} b {%+ endgeneration %}{% set generation = 1 %}{{ '{%' }}";
        let expected = "a{%- if true -%} b {%+ endif %}{% set generation = 1 %}{{ '{%' }}";
        assert_eq!(without_generation_tags(source), expected);
    }

    #[test]
    fn the_date_is_formatted_as_python_does() {
        assert_eq!(strftime_now("%Y-%m-%d").unwrap().len(), "2026-01-31".len());
        assert_eq!(strftime_now("%d %b %Y").unwrap().len(), "31 Jan 2026".len());
        assert!(strftime_now("%!").is_err());
    }
}
