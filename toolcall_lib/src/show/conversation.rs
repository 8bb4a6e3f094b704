//! Display of conversations, messages, replies and generations: the speaker on the left, the text
//! on the right.

use super::Html;
use super::style::{MONO, MUTED, NEUTRAL, counted};
use crate::conversation::{Conversation, Message, Role};
use crate::generate::Generation;
use crate::reply::{Reply, turn_text};
use crate::tool::ToolCall;
use maud::{Markup, html};
use std::fmt;

/// Returns a role's name, and the colour of the edge of its messages.
fn name_and_color(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::System => ("system", "#8a8a8a"),
        Role::User => ("user", "#3884e4"),
        Role::Assistant => ("assistant", "#2ea043"),
        Role::Tool => ("tool", "#e67e22"),
    }
}

/// Returns a line of the listing: a title on the left, content with a coloured edge on the right.
fn line(title: &str, color: &str, content: Markup) -> Markup {
    let content_style = format!("flex:1;border-left:3px solid {color};padding:.1em 0 .1em .8em;min-width:0");
    html! {
        div style="display:flex;margin:.35em 0" {
            div style={ "width:9em;flex:none;overflow-wrap:anywhere;" (MUTED) } { (title) }
            div style=(content_style) { (content) }
        }
    }
}

/// Returns a turn's thought, text and calls, one below the other.
fn turn(thought: Option<&str>, content: &str, calls: &[ToolCall]) -> Markup {
    html! {
        @if let Some(thought) = thought {
            div style={ "font-style:italic;white-space:pre-wrap;" (MUTED) } { (thought) }
        }
        @if !content.is_empty() { div style="white-space:pre-wrap" { (content) } }
        @for call in calls { div { (call.html()) } }
    }
}

impl Html for ToolCall {
    fn html(&self) -> Markup {
        html! { span style={ (MONO) ";padding:.1em .4em;border-radius:3px;background:" (NEUTRAL) } { (self) } }
    }
}

impl Html for Message {
    fn html(&self) -> Markup {
        let (role, color) = name_and_color(self.role);
        let name = self
            .name
            .as_deref()
            .filter(|_| self.role == Role::Tool)
            .unwrap_or(role);
        line(
            name,
            color,
            turn(self.reasoning_content.as_deref(), &self.content, &self.tool_calls),
        )
    }
}

impl Html for Conversation {
    fn html(&self) -> Markup {
        html! {
            @if !self.tools.is_empty() {
                details style="margin:.35em 0" {
                    summary style=(MUTED) { (tool_names(self)) }
                    @for tool in &self.tools { div style="margin:.6em 0 .6em 1.2em" { (tool.html()) } }
                }
            }
            @for message in &self.messages { (message.html()) }
        }
    }
}

/// Returns the number and names of the offered tools.
fn tool_names(conversation: &Conversation) -> String {
    let names: Vec<&str> = conversation.tools.iter().map(|tool| tool.name()).collect();
    format!("{} offered: {}", counted(names.len(), "tool"), names.join(", "))
}

impl Html for Reply {
    fn html(&self) -> Markup {
        let title = if self.malformed { "malformed" } else { "assistant" };
        let color = if self.malformed {
            "#da3633"
        } else {
            name_and_color(Role::Assistant).1
        };
        line(
            title,
            color,
            turn(self.reasoning_content.as_deref(), &self.content, &self.tool_calls),
        )
    }
}

impl Html for Generation {
    fn html(&self) -> Markup {
        html! {
            div style={ (MONO) ";padding:.5em .8em;border-radius:3px;background:" (NEUTRAL) } { (self.text) }
            div style={ "margin-top:.3em;" (MUTED) } { (self.caption()) }
        }
    }
}

impl Generation {
    /// Describes a generation: its length, whether it ended, the confidence of its calls, and text
    /// that was withheld.
    fn caption(&self) -> String {
        let mut parts = vec![counted(self.ids.len(), "token")];
        if !self.finished {
            parts.push("cut off at max_new_tokens".into());
        }
        let sure: Vec<String> = self.confidences.iter().map(|sure| format!("{sure:.3}")).collect();
        match &self.withheld {
            Some(text) => parts.push(format!("confidence {}, withheld: {text}", sure.join(", "))),
            None if sure.is_empty() => {}
            None => parts.push(format!("confidence {}", sure.join(", "))),
        }
        parts.join(", ")
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, _) = name_and_color(self.role);
        let thought = self
            .reasoning_content
            .iter()
            .map(|thought| format!("({thought})"));
        let said = Some(turn_text(&self.content, &self.tool_calls)).filter(|said| !said.is_empty());
        let lines: Vec<String> = thought.chain(said).collect();
        write!(f, "{role:<11}{}", lines.join("\n").replace('\n', "\n           "))
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools = Some(tool_names(self)).filter(|_| !self.tools.is_empty());
        let lines: Vec<String> = tools
            .into_iter()
            .chain(self.messages.iter().map(Message::to_string))
            .collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n({})", self.text, self.caption())
    }
}
