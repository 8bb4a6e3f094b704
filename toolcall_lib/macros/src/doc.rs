//! The doc comment of a function: its description, its arguments, and its return value.

use proc_macro2::TokenStream;
use quote::ToTokens;
use serde_json::Value;

/// The parts of a doc comment.
#[derive(Debug, Default, PartialEq)]
pub struct Doc {
    /// Description of the function; inner line breaks stay.
    pub description: String,
    /// Name and description of each argument, in one line.
    pub arguments: Vec<(String, String)>,
    /// Description of the return value.
    pub returns: Option<String>,
}

/// Headings of rustdoc that are not for a model.
const SKIPPED: [&str; 4] = ["# Errors", "# Panics", "# Examples", "# Safety"];

impl Doc {
    /// Reads the text of a doc comment, in the Google style of Python docstrings or with Rust's
    /// headings.
    pub fn parse(text: &str) -> Self {
        let mut skipping = false;
        let kept = clean(text).into_iter().filter(|line| {
            if line.starts_with("# ") {
                skipping = SKIPPED.contains(&line.trim_end());
            }
            !skipping
        });
        let lines: Vec<String> = kept.collect();
        match lines
            .iter()
            .any(|line| matches!(line.trim_end(), "# Arguments" | "# Returns"))
        {
            true => rust_style(&lines),
            false => google_style(lines.join("\n").trim()),
        }
    }
}

/// Removes the common indentation, as Python's `inspect.cleandoc` does.
fn clean(text: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().trim_start().to_string();
    let margin = lines
        .clone()
        .filter(|line| !line.trim().is_empty())
        .map(indent)
        .min()
        .unwrap_or(0);
    std::iter::once(first)
        .chain(lines.map(|line| line.get(margin..).unwrap_or_default().to_string()))
        .collect()
}

/// Reads `Args:` and `Returns:` exactly where `transformers.utils.get_json_schema` sees them.
fn google_style(text: &str) -> Doc {
    let end = |text: &str, marks: &[&str]| {
        marks
            .iter()
            .filter_map(|mark| text.find(mark))
            .min()
            .unwrap_or(text.len())
    };
    let arguments = section(text, "Args:").map(|text| &text[..end(text, &["Returns:", "Raises:"])]);
    let returns = section(text, "Returns:").map(|text| text[..end(text, &["Raises:"])].trim());
    Doc {
        description: text[..end(text, &["Args:", "Returns:", "Raises:"])]
            .trim()
            .to_string(),
        arguments: arguments.map(google_arguments).unwrap_or_default(),
        returns: returns.filter(|text| !text.is_empty()).map(String::from),
    }
}

/// Returns the text after the line `heading`, which is not the first line.
fn section<'t>(text: &'t str, heading: &str) -> Option<&'t str> {
    let mut from = text.find('\n')? + 1;
    for line in text[from..].split_inclusive('\n') {
        from += line.len();
        if line.trim() == heading {
            return Some(&text[from..]);
        }
    }
    None
}

/// A line `name:` opens an argument unless it is indented deeper than the one before; other lines
/// go on with it.
fn google_arguments(text: &str) -> Vec<(String, String)> {
    let mut arguments: Vec<(String, String)> = Vec::new();
    let mut indent = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let own_indent = &line[..line.len() - line.trim_start().len()];
        let deeper = indent
            .is_some_and(|indent: &str| own_indent.len() > indent.len() && own_indent.starts_with(indent));
        match line.trim().split_once(':') {
            Some((name, text)) if is_name(name) && !deeper => {
                indent = Some(own_indent);
                arguments.push((name.to_string(), text.trim().to_string()));
            }
            _ => continue_last(&mut arguments, line),
        }
    }
    arguments
}

/// Reads `# Arguments` with a list `- name: text` or ``* `name` - text``, and `# Returns`.
fn rust_style(lines: &[String]) -> Doc {
    let mut doc = Doc::default();
    let (mut heading, mut description, mut returns) = ("", Vec::new(), Vec::new());
    for line in lines {
        match (line.trim_end(), heading) {
            (found, _) if found.starts_with("# ") => heading = found,
            (_, "# Arguments") => match list_item(line) {
                Some(argument) => doc.arguments.push(argument),
                None => continue_last(&mut doc.arguments, line),
            },
            (_, "# Returns") => returns.push(line.as_str()),
            (_, "") => description.push(line.as_str()),
            _ => {}
        }
    }
    doc.description = description.join("\n").trim().to_string();
    doc.returns = (!returns.is_empty()).then(|| returns.join("\n").trim().to_string());
    doc
}

fn list_item(line: &str) -> Option<(String, String)> {
    let item = line.strip_prefix("- ").or(line.strip_prefix("* "))?.trim();
    let separators = [":", " - ", " – "].into_iter();
    let (at, length) = separators
        .filter_map(|mark| Some((item.find(mark)?, mark.len())))
        .min()?;
    let name = item[..at].trim().trim_matches('`');
    let text = item[at + length..].trim();
    is_name(name).then(|| (name.to_string(), text.to_string()))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn continue_last(arguments: &mut [(String, String)], line: &str) {
    if let Some((_, text)) = arguments.last_mut() {
        *text = format!("{text} {}", line.trim()).trim().to_string();
    }
}

/// Splits `text (choices: ["a", "b"])` into the text and the choices, as Rust literals.
pub fn split_choices(text: &str) -> Result<(&str, Option<Vec<TokenStream>>), String> {
    const OPENING: &str = "(choices:";
    let opening = text.to_ascii_lowercase().find(OPENING);
    let (Some(at), Some(inner)) = (opening, text.trim_end().strip_suffix(')')) else {
        return Ok((text, None));
    };
    let list = inner[at + OPENING.len()..].trim();
    let choices: Vec<Value> = serde_json::from_str(list).map_err(|error| format!("`{list}`: {error}"))?;
    let literal = |choice: Value| match choice {
        Value::String(text) => Ok(text.trim().to_token_stream()),
        other => other
            .to_string()
            .parse()
            .map_err(|_| format!("`{other}` is not a choice")),
    };
    let choices = choices.into_iter().map(literal).collect::<Result<_, _>>()?;
    Ok((text[..at].trim(), Some(choices)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(description: &str, arguments: &[(&str, &str)], returns: Option<&str>) -> Doc {
        let own = |(name, text): &(&str, &str)| (name.to_string(), text.to_string());
        Doc {
            description: description.to_string(),
            arguments: arguments.iter().map(own).collect(),
            returns: returns.map(String::from),
        }
    }

    #[test]
    fn the_google_style_is_read() {
        let text = " Does it\n at once.\n\n \
            Args:\n     a: One,\n         two: three.\n\n     b_2:\n         Four.\n \
            Returns:\n     Five.\n Raises:\n     Six: never.";
        let arguments = [("a", "One, two: three."), ("b_2", "Four.")];
        assert_eq!(
            Doc::parse(text),
            doc("Does it\nat once.", &arguments, Some("Five."))
        );
    }

    #[test]
    fn the_style_of_rust_is_read() {
        let text = " Does it\n at once.\n\n \
            # Arguments\n\n * `a` - One -\n   two.\n - b: -3, `four`\n - `c`: Five.\n\n \
            # Returns\n\n Six.\n Seven.\n\n # Errors\n - never: ever";
        let arguments = [("a", "One - two."), ("b", "-3, `four`"), ("c", "Five.")];
        assert_eq!(
            Doc::parse(text),
            doc("Does it\nat once.", &arguments, Some("Six.\nSeven."))
        );
    }

    #[test]
    fn headings_of_rustdoc_are_left_out_of_a_docstring() {
        let text = " Does it.\n\n # Examples\n ```\n it(1);\n ```\n";
        assert_eq!(Doc::parse(text), doc("Does it.", &[], None));
        let text = " Does it.\n\n Args:\n     a: One.\n\n # Panics\n Never.\n";
        assert_eq!(Doc::parse(text), doc("Does it.", &[("a", "One.")], None));
    }

    #[test]
    fn no_text_gives_no_description() {
        for text in ["", " ", "\n\n", " Args:\n     a: One."] {
            assert_eq!(Doc::parse(text).description, "", "{text:?}");
        }
    }

    #[test]
    fn choices_are_split_off() {
        let split = |text| {
            let (text, choices) = split_choices(text)?;
            let choices = choices.map(|choices| choices.iter().map(ToString::to_string).collect::<Vec<_>>());
            Ok::<_, String>((text, choices.map(|choices| choices.join(" "))))
        };
        let found = |text, choices: &str| Ok((text, Some(choices.to_string())));
        assert_eq!(
            split(r#"Which. (choices: ["a", " b "])"#),
            found("Which.", r#""a" "b""#)
        );
        assert_eq!(split("Which (CHOICES:[1, -2]) "), found("Which", "1 - 2"));
        assert_eq!(
            split("Which (choices are free)"),
            Ok(("Which (choices are free)", None))
        );
        assert_eq!(
            split("Which (choices: [1]) of them"),
            Ok(("Which (choices: [1]) of them", None))
        );
        assert!(
            split("Which (choices: a, b)")
                .unwrap_err()
                .starts_with("`a, b`: expected value")
        );
    }
}
