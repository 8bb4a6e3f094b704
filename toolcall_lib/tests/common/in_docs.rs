// A folder in which the examples of the documentation run: a tiny model under the names that they
// load, some rows, and a file of tools. An example includes this file in a hidden line.

mod tiny_config {
    include!("tiny_config.rs");
}
mod tiny_model {
    include!("tiny_model.rs");
}
mod tiny_tokenizer {
    include!("tiny_tokenizer.rs");
}

/// Makes the folder and enters it. It is removed when the result is dropped.
fn example_folder() -> tempfile::TempDir {
    use serde_json::json;
    use toolcall_lib::{Conversation, Dataset, Message, ToolCall, ToolSchema, save};

    let folder = tempfile::tempdir().unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("TOOLCALL_MODEL", "HuggingFaceTB/SmolLM2-135M-Instruct") };
    // 1. The tool `start_timer`.
    let tools = json!([{
        "name": "start_timer",
        "description": "Starts a timer.",
        "parameters": {
            "type": "object",
            "properties": {"duration": {"type": "integer", "description": "Seconds."}},
            "required": ["duration"],
        },
    }]);
    std::fs::write("tools.json", tools.to_string()).unwrap();
    let tools: Vec<ToolSchema> = toolcall_lib::load_tools("tools.json").unwrap();
    // 2. Rows that call it.
    let row = |minutes: u64| Conversation {
        messages: vec![
            Message::user(format!("Set a timer for {minutes} minutes.")),
            Message::assistant_calls(vec![
                ToolCall::new("start_timer", json!({"duration": 60 * minutes})).unwrap(),
            ]),
        ],
        tools: tools.clone(),
        ..Conversation::default()
    };
    for (file, minutes) in [
        ("rows.json", 1..=6),
        ("validation.json", 7..=8),
        ("heldout.json", 9..=10),
    ] {
        Dataset::from(minutes.map(row).collect::<Vec<_>>()).save(file).unwrap();
    }
    // 3. A model, untuned and tuned.
    let mut model = tiny_model::tiny_model();
    std::fs::create_dir("HuggingFaceTB").unwrap();
    save(&model, "HuggingFaceTB/SmolLM2-135M-Instruct").unwrap();
    model.tools = tools;
    save(&model, "out/tuned").unwrap();
    folder
}
