//! The page of a model: the `README.md` that the hub shows. It says how the model was made and how
//! to ask it.
//!
//! It holds no times, no paths and no host names, so a run that was interrupted and resumed writes
//! the same bytes.

use crate::model::{Model, Training};
use crate::tool::ToolSchema;
use crate::weights::hub::HubId;
use serde_json::Value;
use std::fmt::Write;

/// The page of a model as it is saved now.
pub(super) fn card(model: &Model) -> String {
    let base = match &model.training {
        Some(training) => training.base_model.clone(),
        None => model.base_name(),
    };
    let mut page = front(model, &base);
    page += &opening(model, &base);
    if let Some(training) = &model.training {
        page += &trained(training);
    }
    page += &tools(&model.tools);
    page + &asking(model)
}

/// The front matter, which programs read.
fn front(model: &Model, base: &str) -> String {
    let is_adapter = model.decoder.adapter.is_some();
    let library = if is_adapter { "peft" } else { "transformers" };
    let license = model.license.iter();
    let license: String = license.map(|name| format!("license: {name}\n")).collect();
    let lora = if is_adapter { "- lora\n" } else { "" };
    // A folder or a file has a name that the hub does not know. YAML reads quotation marks as JSON.
    let base = HubId::parse(base).map(|id| format!("base_model: {}\n", Value::from(id.repo)));
    let base = base.unwrap_or_default();
    format!(
        "---\n{base}library_name: {library}\n{license}pipeline_tag: text-generation\n\
         tags:\n- function-calling\n- tool-calling\n- toolcall\n{lora}---\n"
    )
}

fn opening(model: &Model, base: &str) -> String {
    let base = inline(base);
    let what = match (&model.decoder.adapter, &model.training) {
        (Some(_), _) => format!("A LoRA adapter for {base}"),
        (None, Some(_)) => format!("{base}, tuned to call tools"),
        (None, None) => base,
    };
    let whose = "toolcall wrote this page. One that has been changed is not replaced.";
    format!("\n# {what}\n\n{whose}\n")
}

fn trained(training: &Training) -> String {
    let mut text = "\n## How it was trained\n\n".to_string();
    text += "| data | rows | without a call | several calls in a turn | calls in several turns |\n|---|---|---|---|---|\n";
    for file in &training.data {
        let (rows, without) = (file.rows, file.without_call);
        let (calls, turns) = (file.several_calls, file.several_turns);
        let name = inline(&file.file);
        writeln!(text, "| {name} | {rows} | {without} | {calls} | {turns} |").ok();
    }
    text += match training.settings.is_empty() {
        true => "\nAll settings are the default ones.\n",
        false => "\nThe settings that differ from the default:\n\n",
    };
    for (name, value) in &training.settings {
        writeln!(text, "- `{name}`: `{value}`").ok();
    }
    if !training.scores.is_empty() {
        text += "\n## Scores on the validation rows\n\n| | count | of |\n|---|---|---|\n";
    }
    for score in &training.scores {
        writeln!(
            text,
            "| {} | {} | {} |",
            inline(&score.name),
            score.count,
            score.total
        )
        .ok();
    }
    text
}

fn tools(tools: &[ToolSchema]) -> String {
    if tools.is_empty() {
        return String::new();
    }
    let mut text =
        "\n## The tools that it was trained to call\n\nTheir schemas are in `tools.json`.\n\n".to_string();
    for tool in tools {
        let properties = tool.parameters()["properties"].as_object();
        let names: Vec<&str> = properties
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        let call = format!("{}({})", tool.name(), names.join(", "));
        writeln!(
            text,
            "- `{}`: {}",
            call.replace('`', "'"),
            inline(tool.description())
        )
        .ok();
    }
    text
}

fn asking(model: &Model) -> String {
    let (imports, class) = match model.decoder.adapter {
        Some(_) => (
            "from peft import AutoPeftModelForCausalLM\nfrom transformers import AutoTokenizer",
            "AutoPeftModelForCausalLM",
        ),
        None => (
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "AutoModelForCausalLM",
        ),
    };
    let tools = match model.tools.is_empty() {
        true => "[...]",
        false => "json.load(open(\"FOLDER/tools.json\"))",
    };
    format!(
        r#"
## How to ask it

`FOLDER` is the folder with this page.

```console
$ toolcall chat --model FOLDER --prompt "..."
```

In Python:

```python
import json
{imports}

tokenizer, model = AutoTokenizer.from_pretrained("FOLDER"), {class}.from_pretrained("FOLDER")
messages, tools = [{{"role": "user", "content": "..."}}], {tools}
prompt = tokenizer.apply_chat_template(messages, tools=tools, enable_thinking=False, add_generation_prompt=True,
                                       return_dict=True, return_tensors="pt")
reply = model.generate(**prompt, do_sample=False, max_new_tokens=256)[0, prompt["input_ids"].shape[1]:]
print(tokenizer.decode(reply))
```

In llama.cpp and in Ollama, whose `Modelfile` is written beside the file:

```console
$ toolcall export --model FOLDER --out gguf/model.gguf --dtype q8_0
$ llama-server --model gguf/model.gguf --jinja
$ ollama create my-model --file gguf/Modelfile
```
"#
    )
}

/// Puts foreign text on one line, and escapes what would end a table cell or begin an HTML tag.
fn inline(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|").replace('<', "&lt;")
}
