//! Two sample tools to try a model with.

use toolcall_lib::{Tool, ToolSchema, tool};

/// Requests that the tools serve.
pub const REQUESTS: [&str; 4] = [
    "Set a timer for 5 minutes.",
    "Remind me to take medicine at 9 PM.",
    "Set a 30 second timer.",
    "Create a reminder for tomorrow's meeting at 2 PM.",
];

/// Start a timer for the given number of seconds.
///
/// # Arguments
/// - duration: Length of the timer in seconds.
#[tool]
fn start_timer(duration: i64) -> std::result::Result<String, String> {
    match duration {
        1.. => Ok(duration.to_string()),
        _ => Err(format!("{duration} is not positive")),
    }
}

/// Create a reminder for the given time.
///
/// # Arguments
/// - time: When to remind, as the user said it.
/// - note: What to remind the user of.
#[tool]
fn create_reminder(time: String, note: String) -> String {
    format!("I'll remind you to {note} at {time}.")
}

/// Both tools.
pub fn tools() -> Vec<Tool> {
    vec![create_reminder_tool(), start_timer_tool()]
}

/// Returns the functions of tools that are samples, all of them; of others, none.
pub fn functions_of(schemas: &[ToolSchema]) -> Vec<Tool> {
    let functions: Option<Vec<Tool>> = schemas.iter().map(function_of).collect();
    functions.unwrap_or_default()
}

/// Returns the function of a tool that has the name and the arguments of a sample.
fn function_of(schema: &ToolSchema) -> Option<Tool> {
    let arguments = |schema: &ToolSchema| -> Option<Vec<String>> {
        let mut names: Vec<String> = schema.parameters()["properties"]
            .as_object()?
            .keys()
            .cloned()
            .collect();
        names.sort_unstable();
        Some(names)
    };
    let mut ours = tools().into_iter();
    ours.find(|tool| tool.schema.name() == schema.name() && arguments(&tool.schema) == arguments(schema))
}
