//! Patterns of JSON schema as regular expressions of Lark, which match a whole string.

/// Turns a JSON schema `pattern`, which may match anywhere, into one that matches the whole string.
/// `^` and `$` belong to the alternative in which they stand: `^a|b$` is `a` at the start, or `b`
/// at the end.
pub(super) fn searched(pattern: &str) -> String {
    let whole: Vec<String> = alternatives(pattern).into_iter().map(whole).collect();
    format!("/{}/", whole.join("|"))
}

/// Splits a pattern at each `|` outside of groups and classes.
fn alternatives(pattern: &str) -> Vec<&str> {
    let (mut found, mut start, mut depth, mut in_class, mut escaped) = (Vec::new(), 0, 0_usize, false, false);
    for (at, c) in pattern.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => depth += 1,
            ')' if !in_class => depth = depth.saturating_sub(1),
            '|' if !in_class && depth == 0 => {
                found.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&pattern[start..]);
    found
}

/// Lets an alternative of a pattern match the whole string.
fn whole(pattern: &str) -> String {
    let any = "(?s:.*)";
    let (start, inner) = match pattern.strip_prefix('^') {
        Some(inner) => ("", inner),
        None => (any, pattern),
    };
    let (inner, end) = match inner.strip_suffix('$') {
        Some(inner) if !is_open(inner) => (inner, ""),
        _ => (inner, any),
    };
    format!("{start}({}){end}", slashes_escaped(inner))
}

/// Returns true if a pattern ends with a backslash that escapes what follows it.
fn is_open(pattern: &str) -> bool {
    let backslashes = pattern.len() - pattern.trim_end_matches('\\').len();
    backslashes % 2 == 1
}

/// Escapes the slashes of a pattern that are not escaped yet: Lark's patterns end with a slash.
fn slashes_escaped(pattern: &str) -> String {
    let mut written = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        if c == '/' && !is_open(&written) {
            written.push('\\');
        }
        written.push(c);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `\/` and `/` are the same character, and `\\$` is a backslash before the end.
    #[test]
    fn a_pattern_is_written_for_lark() {
        for (pattern, written) in [
            (r"^\d{2}\/\d{2}$", r"/(\d{2}\/\d{2})/"),
            ("^a/b", r"/(a\/b)(?s:.*)/"),
            (r"^a\\/b$", r"/(a\\\/b)/"),
            (r"a\$", r"/(?s:.*)(a\$)(?s:.*)/"),
            (r"a\\$", r"/(?s:.*)(a\\)/"),
            ("^a|b$", "/(a)(?s:.*)|(?s:.*)(b)/"),
            (r"^(a|b[|])\|$", r"/((a|b[|])\|)/"),
        ] {
            assert_eq!(searched(pattern), written, "{pattern}");
        }
    }
}
