//! The table of all names, as `docs/settings.md` has it.

use super::fields::{Field, fields};
use super::table::{Becomes, Row, rows};
use serde_json::Value;
use std::fmt::Write;

const BEGINNING: &str = "\
# Settings

`toolcall train` takes its settings from a recipe (`--recipe`), from files (`--config FILE`, YAML or
JSON), and from flags. Files override the recipe, later files override earlier ones, and flags
override all files. A setting that none of them names has the recipe's value, even if the file was
written for a tool with another default.

```yaml
# tune.yaml
learning_rate: 1e-4
num_train_epochs: 2
lora: {r: 16, lora_alpha: 32}
```

```console
$ toolcall train --config tune.yaml --data rows.json --out out/tuned --learning-rate 3e-4 --lora.r 8
```

A flag is the name of a setting, with dashes or underscores. Without a value it is true, `--no-NAME`
is false, and several values are a list. Values are read as in YAML 1.2, and `1e-4` is a number. For
a setting that is true or false, `yes`, `no`, `on` and `off` work too.

An unknown name is an error that suggests the nearest known one. With an empty value (null, `\"\"`,
`[]`, `{}`) it is only noted. This page is generated from the code.

## Our settings
";

const OTHERS: &str = "
## Names of other tools

Files written for TRL, transformers (`TrainingArguments`), Axolotl, LLaMA-Factory, mlx-lm, PEFT and
DeepSpeed are read unchanged, and their names work as flags. Every name keeps its meaning. *Noted*
names only tune the other engine: the run starts, and says that they change nothing. *Refused* names
would change the result: the run does not start, unless the value asks for nothing (null, false, 0,
empty).

The model and the data that a file names are used unless the command line names others. `--data`
replaces everything that a file says about its data: names, config, splits, and a validation set
that comes with the data, such as mlx-lm's `valid.jsonl`. `--dataset-name` replaces only the name,
as TRL's flag does. `--validation` replaces the validation set. Replaced names are noted, and not
read. A validation set that a file names separately stays when `--data` names other data.

`lora_r`, `lora_alpha`, `lora_dropout`, `lora_target_modules` and `use_rslora` alone do not train an
adapter, as in TRL and Axolotl. They are noted until `use_peft`, `adapter`, `finetuning_type` or
`lora` asks for one.

| name | used by | meaning in toolcall |
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
        Becomes::Value(what, _) | Becomes::Input(_, what, _) => what.to_string(),
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
