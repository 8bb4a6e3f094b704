//! Fashions of lists of tools: the style of their names, and what their schemas say.

use super::draw::Draw;
use super::sentence::upper;

/// Style of the names of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// The first name and description of each skill, as the file has them.
    Canonical,
    /// `set_light(room_name)`
    Snake,
    /// `setLight(roomName)`
    Camel,
    /// `SetLight(roomName)`
    Pascal,
    /// `Set_Light(roomName)`
    Title,
    /// `home.set_light(room_name)`
    Dotted,
    /// `tool_17(arg_1)`: only the description says what the tool does.
    Masked,
}

const STYLES: [(Style, f64); 6] = [
    (Style::Snake, 40.0),
    (Style::Camel, 14.0),
    (Style::Pascal, 8.0),
    (Style::Title, 10.0),
    (Style::Dotted, 14.0),
    (Style::Masked, 14.0),
];

/// Features that the names and schemas of a list share.
#[derive(Clone, Debug)]
pub(super) struct Fashion {
    pub(super) style: Style,
    /// Text before the name of every tool.
    pub(super) prefix: String,
    /// Text before and after the name of every argument.
    pub(super) around: [&'static str; 2],
    /// Text before the number of a masked tool.
    pub(super) mask: &'static str,
    /// True if arguments have descriptions.
    pub(super) described: bool,
    /// True if numbers have limits.
    pub(super) limited: bool,
    /// True if descriptions explain the values of an enum.
    pub(super) explained: bool,
}

impl Fashion {
    /// Returns the fashion with the names of the files.
    pub(super) fn canonical() -> Self {
        Self {
            style: Style::Canonical,
            prefix: String::new(),
            around: ["", ""],
            mask: "",
            described: true,
            limited: false,
            explained: false,
        }
    }

    pub(super) fn draw(draw: &mut Draw, subject: &str) -> Self {
        let style = STYLES[draw.weighted(&STYLES.map(|(_, weight)| weight))].0;
        let prefixes = ["app_", "my_", "do_", "user_", "service_", "api_", "run_"];
        let prefix = match style {
            Style::Dotted => format!("{}.", draw.text(&[subject, "api", "tools", "core"])),
            Style::Masked => String::new(),
            _ if draw.chance(4) => draw.text(&prefixes),
            _ => String::new(),
        };
        let around = [
            ["", ""],
            ["the_", ""],
            ["new_", ""],
            ["input_", ""],
            ["user_", ""],
            ["", "_value"],
            ["", "_info"],
            ["", "_field"],
        ];
        Self {
            style,
            prefix,
            around: match draw.chance(4) {
                true => around[draw.index(around.len())],
                false => around[0],
            },
            mask: ["tool_", "func_", "fn", "action", "cmd_", "op_"][draw.index(6)],
            described: !draw.chance(12) || style == Style::Masked,
            limited: draw.chance(2),
            explained: draw.chance(2),
        }
    }
}

/// Joins the words of a name in the way of a style.
pub(super) fn joined(words: &str, style: Style) -> String {
    let words: Vec<&str> = words.split('_').collect();
    match style {
        Style::Canonical | Style::Snake | Style::Dotted | Style::Masked => words.join("_"),
        Style::Pascal => words.iter().map(|word| upper(word)).collect(),
        Style::Title => words.iter().map(|word| upper(word)).collect::<Vec<_>>().join("_"),
        Style::Camel => {
            let rest = words.iter().skip(1).map(|word| upper(word));
            std::iter::once(words[0].to_string()).chain(rest).collect()
        }
    }
}

/// Returns the style of arguments that goes with tools of this style.
pub(super) fn of_arguments(style: Style) -> Style {
    match style {
        Style::Pascal | Style::Title => Style::Camel,
        other => other,
    }
}
