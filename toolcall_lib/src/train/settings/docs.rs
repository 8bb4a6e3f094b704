//! The table of all names, as `docs/settings.md` has it.

use super::fields::{Field, fields};
use super::table::{Becomes, Row, rows};
use serde_json::Value;
use std::fmt::Write;

const BEGINNING: &str = "\
# Settings

`toolcall train` takes its settings from a recipe (`--recipe`), from files (`--config FILE`, YAML or JSON),
and from flags. Files override the recipe, later files override earlier ones, and flags override all files.
All other settings are those of the recipe, even where another tool has another default.

```yaml
# tune.yaml
learning_rate: 1e-4
num_train_epochs: 2
lora: {r: 16, lora_alpha: 32}
```

```console
$ toolcall train --config tune.yaml --data rows.json --out out/tuned --learning-rate 3e-4 --lora.r 8
```

A flag is the name of a setting with dashes or underscores. Without a value it is true, `--no-NAME` is false,
several values are a list. Plain words are read by YAML 1.2: `1e-4` is a number. Where a setting is true or
false, `yes`, `no`, `on` and `off` work too.

An unknown name is an error that suggests the nearest one. This page is generated from the code.

## Our settings
";

const OTHERS: &str = "
## Names of other tools

Files written for TRL, transformers (`TrainingArguments`), Axolotl, LLaMA-Factory, mlx-lm and DeepSpeed are
read as they are, and their names are flags, with the same meaning. *Noted* names only tune the other engine:
a run notes that they have no effect. *Refused* names would change the result: the run does not begin, unless
the value asks for nothing (null, false, 0, empty). The command line overrides the model and the data that a
file names.

| name | of | here |
|---|---|---|
";

/// The page: our settings, then the names of others and what they become.
pub fn markdown() -> String {
    let mut text = BEGINNING.to_string();
    text += "\n| setting | value | default | |\n|---|---|---|---|\n";
    for field in fields().iter().filter(|field| field.name != "lora") {
        write_field(&mut text, field);
    }
    text += OTHERS;
    rows().for_each(|row| write_row(&mut text, row));
    text
}

fn write_field(text: &mut String, field: &Field) {
    let value = field.expected().replace('|', "\\|");
    let default = match &field.default {
        Value::Null => "none".to_string(),
        Value::String(word) => format!("`{word}`"),
        Value::Array(_) => "all linear layers".to_string(),
        other => format!("`{other}`"),
    };
    let about = field
        .about
        .replace('|', "\\|")
        .replace("[`TrainConfig::trl`]", "TRL's");
    writeln!(text, "| `{}` | {value} | {default} | {about} |", field.name).ok();
}

fn write_row(text: &mut String, row: &Row) {
    let names: Vec<String> = row.names.iter().map(|name| format!("`{name}`")).collect();
    let peers: Vec<String> = row.peers.iter().map(ToString::to_string).collect();
    let becomes = match row.becomes {
        Becomes::Same => "the same".to_string(),
        Becomes::Renamed(ours) => format!("`{ours}`"),
        Becomes::Value(what, _) => what.to_string(),
        Becomes::Note(why) => format!("*noted*: {why}"),
        Becomes::Refused(why) => format!("*refused*: {why}"),
    };
    writeln!(
        text,
        "| {} | {} | {becomes} |",
        names.join(", "),
        peers.join(", ")
    )
    .ok();
}
