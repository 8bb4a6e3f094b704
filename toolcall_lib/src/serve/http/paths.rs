//! The names of paths, and advice for paths that do not exist.

/// Paths of the server.
const KNOWN: [&str; 8] = [
    "/",
    "/health",
    "/metrics",
    "/openapi.json",
    "/predict",
    "/tools",
    "/v1/chat/completions",
    "/v1/models",
];

/// Name of all other paths.
const OTHER: &str = "other";

/// Ends of the paths of other APIs for replies.
const REPLIES: [&str; 3] = ["/completions", "/messages", "/responses"];

/// Returns the name under which a path is counted. Unknown paths share one name, because there
/// could be any number of them.
pub(super) fn known(path: &str) -> &'static str {
    let found = KNOWN.into_iter().find(|known| *known == path);
    let model = || path.starts_with("/v1/models/").then_some("/v1/models/{model}");
    found.or_else(model).unwrap_or(OTHER)
}

/// Returns what to do instead of asking for a path that does not exist. Base URLs often lack `/v1`,
/// have it twice, or end with a slash.
pub(super) fn advice(path: &str) -> String {
    let path = path.trim_end_matches('/');
    let without = path.strip_prefix("/v1").unwrap_or(path);
    let mut meant = [path.to_string(), format!("/v1{path}"), without.to_string()].into_iter();
    match meant.find(|path| known(path) != OTHER) {
        Some(path) => format!("use {path}"),
        None if REPLIES.iter().any(|end| path.ends_with(end)) => {
            "this API is not supported; use POST /v1/chat/completions".to_string()
        }
        None => "/openapi.json lists the paths".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_that_was_meant_is_told() {
        for (path, told) in [
            ("/chat/completions", "use /v1/chat/completions"),
            ("/v1/chat/completions/", "use /v1/chat/completions"),
            ("/v1/v1/models", "use /v1/models"),
            ("/models/tiny", "use /v1/models/tiny"),
            ("/v1/predict", "use /predict"),
            ("/v1/completions", "use POST /v1/chat/completions"),
            ("/responses/", "use POST /v1/chat/completions"),
            ("/v1", "lists the paths"),
            ("//", "lists the paths"),
        ] {
            assert!(advice(path).ends_with(told), "{path}: {}", advice(path));
        }
    }
}
