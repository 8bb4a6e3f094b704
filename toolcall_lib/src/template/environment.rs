//! The Jinja environment that transformers gives to chat templates.

use super::json::tojson;
use super::limits::{LONGEST_SOURCE, limit};
use crate::error::{Error, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value};
use time::OffsetDateTime;
use time::format_description::parse_strftime_owned;

/// The name under which the template stands in its environment.
pub(super) const NAME: &str = "chat template";

/// An environment that holds `source` as its only template.
pub(super) fn environment(source: &str) -> Result<Environment<'static>> {
    if source.len() > LONGEST_SOURCE {
        let problem = format!("it has {} bytes; expected at most {LONGEST_SOURCE}", source.len());
        return Err(Error::invalid(NAME, problem));
    }
    let mut environment = Environment::new();
    limit(&mut environment);
    environment.set_debug(true); // errors then name the variable
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    environment.set_syntax(syntax.map_err(invalid)?);
    environment.add_filter("tojson", tojson);
    environment.add_test("iterable", |value: &Value| {
        !value.is_none() && value.try_iter().is_ok()
    });
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment
        .add_template_owned(NAME, without_generation_tags(source))
        .map_err(invalid)?;
    Ok(environment)
}

/// An error of the template as one of ours: the line of the template, and what it says about the messages.
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

/// The current time (UTC) in a `strftime` format: some templates tell the model the date.
fn strftime_now(format: &str) -> std::result::Result<String, minijinja::Error> {
    let bad_format = |e| minijinja::Error::new(ErrorKind::InvalidOperation, "strftime_now").with_source(e);
    let format = parse_strftime_owned(format).map_err(|e| bad_format(time::Error::from(e)))?;
    OffsetDateTime::now_utc()
        .format(&format)
        .map_err(|e| bad_format(time::Error::from(e)))
}

/// `{% generation %}` marks what the assistant wrote; it prints nothing, and minijinja does not know it.
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

fn next_tag(source: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = source.split_once("{%")?;
    let (tag, after) = rest.split_once("%}")?;
    Some((before, tag, after))
}

/// A tag with other words and the same whitespace control.
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
