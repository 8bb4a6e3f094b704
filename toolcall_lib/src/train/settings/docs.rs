//! The table of all names, as `docs/settings.md` has it.

use super::fields::{Field, fields};
use super::table::{Becomes, Row, rows};
use serde_json::Value;
use std::fmt::Write;

const BEGINNING: &str = "\
# Settings

`toolcall train` takes its settings from a recipe (`--recipe`), from files (`--config FILE`, YAML or JSON),
and from flags. A file counts more than the recipe, a later file more than an earlier one, a flag more than
all files. What none of them says is the recipe's, also where another tool has another default.

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
several values are a list. Plain words are read as YAML 1.2 has them, `1e-4` is a number; where a setting is
true or false, `yes`, `no`, `on` and `off` are understood too.

A name that is not known is an error that tells the nearest one, unless its value is empty (null, `\"\"`, `[]`,
`{}`), which is noted. This page is made from the code.

## Our settings
";

const OTHERS: &str = "
## Names of other tools

Files written for TRL, transformers (`TrainingArguments`), Axolotl, LLaMA-Factory, mlx-lm, PEFT and DeepSpeed
are read as they are, and their names are flags. They mean here what they mean there. *Noted* names only tune the
other engine: a run says that nothing changes by them. *Refused* names would change the result: the run does
not begin, unless the value asks for nothing (null, false, 0, empty).

The model and the data that a file names are taken where the command line does not name others. `--data`
replaces all that a file says about its data: names, config, splits, and a validation set that comes with the
data, such as mlx-lm's `valid.jsonl`. `--dataset-name` replaces the name only, as TRL's flag does. `--validation`
replaces the validation set; one that the file names separately stays beside `--data`. Replaced names are noted
and not read.

`lora_r`, `lora_alpha`, `lora_dropout`, `lora_target_modules` and `use_rslora` alone do not train an adapter, as
in TRL and Axolotl. `use_peft`, `adapter`, `finetuning_type` or a setting `lora` asks for one. Until a later file
or flag does, they are noted.

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
