//! The names under which data files have the roles of messages.

use super::Role;
use serde_json::Value;

/// Words for the roles in messages about one.
pub(super) const ROLES: &str =
    "system, user, assistant or tool (ShareGPT: system, human, gpt, function_call, observation)";

/// Roles whose text is the JSON of calls.
const CALLS: [&str; 3] = ["function_call", "function-call", "tool_call"];

/// Returns true for a role whose text is the JSON of calls.
pub(super) fn is_of_calls(name: &str) -> bool {
    CALLS.contains(&name)
}

/// Returns true if the role of a message says that it holds nothing but calls.
pub(super) fn is_call_turn(message: &Value) -> bool {
    let names = ["role", "from"].iter().filter_map(|key| message[*key].as_str());
    names.into_iter().any(is_of_calls)
}

/// Reads the role of a message that is not a turn of calls.
pub(super) fn role(name: &str) -> Option<Role> {
    match name {
        "system" | "developer" => Some(Role::System),
        "user" | "human" => Some(Role::User),
        "assistant" | "gpt" | "model" => Some(Role::Assistant),
        "tool" | "observation" | "function" | "ipython" | "tool_response" | "function_response"
        | "function-response" => Some(Role::Tool),
        _ => None,
    }
}
