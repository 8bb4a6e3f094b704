//! Talks with a model that calls two Rust functions.
//!
//! ```console
//! $ cargo run --release --example chat -- out/tuned "Set a timer for 5 minutes."
//! ```

use toolcall_lib::*;

#[tool]
/// Start a timer.
///
/// Args:
///     duration: Length of the timer in seconds.
fn start_timer(duration: u64) -> String {
    format!("The timer runs for {duration} seconds.")
}

#[tool]
/// Tell the temperature in a city.
///
/// Args:
///     city: Name of the city.
fn temperature(city: String) -> String {
    format!("It is 21 degrees in {city}.")
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, said] = &arguments[..] else {
        return Err(Error::invalid("arguments", "expected MODEL MESSAGE"));
    };
    let model: Model = load(model)?;
    let tools: [Tool; 2] = [start_timer_tool(), temperature_tool()];
    let schemas: Vec<ToolSchema> = tools.iter().map(|tool| tool.schema.clone()).collect();
    let mut generator = Generator::new(&model, GenerateConfig::of(&model)?);
    let mut messages = vec![Message::user(said)];
    // 1. The model writes; text ends the turn, calls are carried out and answered.
    for _ in 0..5 {
        let reply: Reply = reply::parse(&generator.reply(&messages, &schemas)?.text);
        let calls = reply.tool_calls.clone();
        println!("{}", reply.content);
        messages.push(reply.into_message());
        if calls.is_empty() {
            break;
        }
        // 2. An error of a tool is an answer, too: the model may correct its call.
        for call in &calls {
            let answer = answer(&tools, call);
            println!("{call:?} -> {answer}");
            messages.push(Message::tool(&call.name, answer));
        }
    }
    Ok(())
}
