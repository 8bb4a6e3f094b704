//! A row: a request, the tools for it, and the calls that are right.

use super::{Category, tools};
use crate::conversation::Message;
use crate::error::Problem;
use crate::tool::ToolSchema;
use serde_json::{Map, Value};

/// A row of a category.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Id of the row on the leaderboard, such as `simple_python_97`.
    pub id: String,
    /// Messages before the model's turn.
    pub messages: Vec<Message>,
    /// The tools as a model is offered them, with the types of JSON schema.
    pub tools: Vec<ToolSchema>,
    pub(super) category: Category,
    /// The tools as the row has them, with the types of Python.
    pub(super) functions: Vec<Map<String, Value>>,
    /// The calls that are right; empty where any call, or no call, is right.
    pub(super) answers: Vec<Answer>,
}

/// A call that is right, with the values that are right for each argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub name: String,
    pub arguments: Map<String, Value>,
}

/// Reads a row without its answers.
pub(super) fn read(row: &Value, category: Category) -> Result<Row, Problem> {
    let id = text(row, "id")?;
    let functions: Vec<Map<String, Value>> = list(row, "function")?
        .iter()
        .enumerate()
        .map(|(index, function)| object(function, &format!("function[{index}]")))
        .collect::<Result<_, _>>()?;
    let tools = functions.iter().enumerate().map(|(index, function)| {
        tools::schema(function).map_err(|error| (format!("function[{index}]"), error.to_string()))
    });
    let turns = list(row, "question")?;
    let [Value::Array(messages)] = turns else {
        let problem = format!("expected the messages of one turn, got {} turns", turns.len());
        return Err(("question".into(), problem));
    };
    let messages = messages.iter().enumerate().map(|(index, message)| {
        let field = format!("question[0][{index}]");
        serde_json::from_value(message.clone()).map_err(|error| (field, error.to_string()))
    });
    Ok(Row {
        id,
        messages: messages.collect::<Result<_, _>>()?,
        tools: tools.collect::<Result<_, _>>()?,
        category,
        functions,
        answers: Vec::new(),
    })
}

/// Reads the answers of a row, and its id.
pub(super) fn answers(row: &Value) -> Result<(String, Vec<Answer>), Problem> {
    let answers = list(row, "ground_truth")?
        .iter()
        .enumerate()
        .map(|(index, answer)| {
            let field = format!("ground_truth[{index}]");
            let call = object(answer, &field)?;
            let (Some((name, arguments)), 1) = (call.iter().next(), call.len()) else {
                let problem = format!("expected one tool with its arguments, got {}", call.len());
                return Err((field, problem));
            };
            let field = format!("{field}.{name}");
            let arguments = object(arguments, &field)?;
            match arguments.iter().find(|(_, values)| !values.is_array()) {
                Some((argument, _)) => Err((
                    format!("{field}.{argument}"),
                    "expected a list of values that are right".into(),
                )),
                None => Ok(Answer {
                    name: name.clone(),
                    arguments,
                }),
            }
        });
    Ok((text(row, "id")?, answers.collect::<Result<_, _>>()?))
}

fn text(row: &Value, field: &str) -> Result<String, Problem> {
    let text = row[field].as_str().map(str::to_string);
    text.ok_or_else(|| (field.into(), "expected a string".into()))
}

fn list<'a>(row: &'a Value, field: &str) -> Result<&'a [Value], Problem> {
    let list = row[field].as_array().map(Vec::as_slice);
    list.ok_or_else(|| (field.into(), "expected a list".into()))
}

fn object(value: &Value, field: &str) -> Result<Map<String, Value>, Problem> {
    let object = value.as_object().cloned();
    object.ok_or_else(|| (field.into(), "expected an object".into()))
}
