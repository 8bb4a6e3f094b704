//! `response_format`: the schema that an answer must fit.

use super::Refusal;
use super::fields::Fields;
use crate::tool::ToolSchema;
use serde_json::{Value, json};

/// Returns the schema that the answer is constrained to; `None` if any text will do.
pub(super) fn read(fields: &mut Fields) -> Result<Option<Value>, Refusal> {
    const PLACE: &str = "response_format";
    let Some(format) = fields.object(PLACE)? else {
        return Ok(None);
    };
    let mut format = Fields::of(PLACE, format);
    let schema = match format.text("type")?.as_deref() {
        Some("text") => None,
        Some("json_object") => Some(json!({"type": "object"})),
        Some("json_schema") => Some(schema(&mut format)?),
        _ => {
            let problem = "expected \"text\", \"json_object\" or \"json_schema\"";
            return Err(Refusal::of_field("response_format.type", problem));
        }
    };
    format.end(&[(
        "schema",
        "is not read here; write {\"type\": \"json_schema\", \"json_schema\": {\"name\": …, \"schema\": {…}}}",
    )])?;
    Ok(schema)
}

fn schema(format: &mut Fields) -> Result<Value, Refusal> {
    const PLACE: &str = "response_format.json_schema";
    let Some(named) = format.object("json_schema")? else {
        return Err(Refusal::of_field(
            PLACE,
            "missing; expected {\"name\": …, \"schema\": {…}}",
        ));
    };
    let mut named = Fields::of(PLACE, named);
    named.text("name")?;
    named.text("description")?;
    named.flag("strict")?; // answers are constrained to the schema in any case
    let Some(schema) = named.object("schema")?.map(Value::Object) else {
        return Err(Refusal::of_field(
            format!("{PLACE}.schema"),
            "missing; expected a JSON schema",
        ));
    };
    named.end(&[])?;
    // The schemas of arguments and of answers are alike: both describe objects.
    ToolSchema::new(json!({"name": "answer", "parameters": schema})).map_err(|error| {
        let problem = error.to_string().replace("function.parameters", "schema");
        let problem = problem
            .trim_start_matches("schema of tool `answer`: ")
            .to_string();
        Refusal::of_field(format!("{PLACE}.schema"), problem)
    })?;
    Ok(schema)
}
