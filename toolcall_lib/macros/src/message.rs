//! Compile errors about a doc comment that does not fit its function.

use crate::signature::Argument;
use syn::ext::IdentExt;

/// Says that there is no doc comment, or that it has no text before the arguments.
pub fn no_description(tool: &str, arguments: &[Argument]) -> String {
    let mut example = vec!["/// What the function does.".to_string()];
    if !arguments.is_empty() {
        example.extend(["///".to_string(), "/// Args:".to_string()]);
        example.extend(names(arguments).map(|name| format!("///     {name}: What it means.")));
    }
    let example = example.join("\n");
    format!(
        "tool `{tool}` has no description for the model: \
        write a doc comment between #[tool] and `fn`\n{example}"
    )
}

/// Says that an argument has no description.
pub fn no_argument_description(tool: &str, name: &str) -> String {
    format!(
        "argument `{name}` of tool `{tool}` has no description for the model: \
        write in the doc comment, below `/// Args:`,\n\
        ///     {name}: What it means.\n\
        or, below `/// # Arguments`,\n\
        /// * `{name}` - What it means."
    )
}

/// Says that a description has no argument.
pub fn no_argument(tool: &str, described: &str, arguments: &[Argument]) -> String {
    let names: Vec<String> = names(arguments).map(|name| format!("`{name}`")).collect();
    let takes = if names.is_empty() {
        "no arguments".to_string()
    } else {
        names.join(", ")
    };
    format!(
        "the doc comment describes an argument `{described}`, but tool `{tool}` takes {takes}: \
        rename or remove that line"
    )
}

/// Says that the `(choices: …)` of an argument are not a JSON list.
pub fn no_choices(name: &str, problem: &str) -> String {
    format!("choices of argument `{name}`: {problem}; write them as (choices: [\"a\", \"b\"])")
}

fn names(arguments: &[Argument]) -> impl Iterator<Item = String> {
    arguments.iter().map(|argument| argument.name.unraw().to_string())
}
