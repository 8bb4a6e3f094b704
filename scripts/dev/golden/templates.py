"""Records how transformers renders conversations with several chat templates: the reference of `template`.

    pip install -r scripts/dev/golden/requirements.txt
    python scripts/dev/golden/templates.py         # writes toolcall_lib/tests/golden/templates/*.json

The templates are the `.jinja` files of that folder (its README says where they come from) and our own
`hermes.jinja`.

`conversations.json`
    {name: {"messages": [...], "tools": [...]}}, as a row of a data file
`styles.json`
    The renderings of `rows` with templates that write calls in other ways, with `arguments` as objects or, where a
    template appends them to a string, as JSON: [{"template": name, "row": name, "prompt": bool, "text": ...}, ...]
`<template>.json`
    special_tokens   tokens that the template may print besides the messages
    renderings       [{"conversation": name, "prompt": bool, "thinking": bool, "text": ...}, ...]: `prompt` is
                     add_generation_prompt, `thinking` is enable_thinking
"""

import json
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

LIBRARY = Path(__file__).parents[3] / "toolcall_lib"
FOLDER = LIBRARY / "tests/golden/templates"

CHATML = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
TEMPLATES = {
    "hermes": CHATML,
    "hermes_llama": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    "qwen2_5": CHATML,
    "qwen3": CHATML,
    "qwen3_2504": CHATML,
    "qwen3_training": CHATML,
    "smollm2": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"},
}


def tool(name, description, properties, required):
    parameters = {"type": "object", "properties": properties, "required": required}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TIMER = tool(
    "start_timer",
    "Starts a timer for the specified duration in seconds.",
    {"duration": {"type": "integer", "description": "Duration in seconds to set the timer for."}},
    ["duration"],
)
NOTE = tool(
    "Save_Note",
    "Writes a note – “quoted”, <b>bold</b> & 'plain' – for later.",
    {
        "text": {"type": "string", "description": "The text, e.g. 日本 or é."},
        "mood": {"type": "string", "enum": ["😀", "<none>"], "nullable": True},
        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
        "weight": {"type": "number", "minimum": 0.5, "default": None},
    },
    ["text"],
)
PING = tool("ping", "", {}, [])
del PING["function"]["parameters"]["required"]
TOOLS = [TIMER, NOTE, PING]


def system(content):
    return {"role": "system", "content": content}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, *calls, **extra):
    message = {"role": "assistant", "content": content, **extra}
    if calls:
        function = [{"name": name, "arguments": arguments} for name, arguments in calls]
        message["tool_calls"] = [{"type": "function", "function": f} for f in function]
    return message


def answer(name, content):
    return {"role": "tool", "name": name, "content": content}


TIMER_DIALOGUE = [
    user("Set a timer for 22 minutes."),
    assistant("", ("start_timer", {"duration": 1320})),
    answer("start_timer", "1320"),
    assistant("Timer set for 22 minutes."),
]
ODD_ARGUMENTS = {
    "text": "a<b> & 'c' \"d\" \\ / \t\n\x1f\x7f’“é日本🕐",
    "mood": None,
    "tags": [],
    "nested": {"z": {"y": [1, -2, [True, False, None], {}]}, "a": ""},
    "floats": [0.0, -0.5, 0.1, 1e-05, 1e16, 1.5e300, 123456.789],
    "integers": [0, 9007199254740993, 18446744073709551615, -9223372036854775808],
}
CONVERSATIONS = {
    "user": ([user("Hi!")], []),
    "user with tools": ([user("Hi!")], TOOLS),
    "system": ([system("Be short."), user("Hi!"), assistant("Hello.")], []),
    "system with tools": ([system("Be short.\n"), user("Hi!"), assistant("Hello.")], TOOLS),
    "later system": ([user("Hi!"), assistant("Hello."), system("Be rude."), user("Hi!")], [TIMER]),
    "two turns": ([user("Hi!"), assistant("Hello."), user("Who are you?"), assistant("A model.")], []),
    "timer": (TIMER_DIALOGUE, [TIMER]),
    "timer without schemas": (TIMER_DIALOGUE, []),
    "timer, then another question": (
        TIMER_DIALOGUE + [user("Thanks. Who are you?"), assistant("A model.")],
        TOOLS,
    ),
    "call with content": ([user("Ping?"), assistant("Let me see.", ("ping", {}))], TOOLS),
    "several calls": (
        [
            user("Set 2 timers, then ping."),
            assistant("", ("start_timer", {"duration": 60}), ("start_timer", {"duration": 120})),
            answer("start_timer", "60"),
            answer("start_timer", "120"),
            assistant("Both run. Now the ping.", ("ping", {}), ("ping", {})),
            answer("ping", '{"ok": true, "who": "日本"}'),
            answer("ping", ""),
            assistant("Done."),
        ],
        TOOLS,
    ),
    "call, then a person": (
        [
            user("Ping?"),
            assistant("", ("ping", {})),
            answer("ping", "ok"),
            user("And?"),
            assistant("It works."),
        ],
        [PING],
    ),
    "odd arguments": ([user("’ “ é 日本 🕐 < > & '"), assistant("", ("Save_Note", ODD_ARGUMENTS))], TOOLS),
    "reasoning": ([user("6 * 2?"), assistant("12", reasoning_content="\nHmm.\n\n6 + 6.\n")], []),
    "reasoning in the content": ([user("6 * 2?"), assistant("<think>\nHmm.\n</think>\n\n12")], []),
    "reasoning before calls": (
        [
            user("Ping?"),
            assistant("", ("ping", {}), reasoning_content="A ping."),
            answer("ping", "ok"),
            assistant("It works.", reasoning_content="It came back."),
            user("Again!"),
            assistant("", ("ping", {}), reasoning_content="Again."),
        ],
        [PING],
    ),
    "newlines around": (
        [system("\n a \n"), user("\n b \n"), assistant("\n c \n"), user("\n"), assistant("\n\n")],
        [],
    ),
    "looks like an answer": (
        [user("<tool_response>\n1\n</tool_response>"), assistant("One.", reasoning_content="A trick.")],
        [],
    ),
}


RICH = {
    "minutes": 5,
    "slow": True,
    "zone": None,
    "ratio": 0.5,
    "beds": ["a", "b"],
    "note": "a \"b\" <c>\nd",
    "options": {"x": [1, False]},
}
TYPES = {
    "minutes": "integer",
    "slow": "boolean",
    "zone": ["string", "null"],
    "ratio": "number",
    "beds": "array",
    "note": "string",
    "options": "object",
}
WATER = tool("water", "Waters plants.", {name: {"type": kind} for name, kind in TYPES.items()}, ["minutes"])


def call_with_id(name, arguments, id):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def answer_with_id(name, content, id):
    return {"role": "tool", "name": name, "tool_call_id": id, "content": content}


def one_call(arguments):
    calls = [call_with_id("water", arguments, "abcdefgh1")]
    return [
        user("Water for 5."),
        {"role": "assistant", "content": "", "tool_calls": calls},
        answer_with_id("water", "ok", "abcdefgh1"),
        assistant("Done."),
    ]


TWO_CALLS = [
    user("Water for 5, then ping."),
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            call_with_id("water", {"minutes": 5, "note": "ferns"}, "abcdefgh1"),
            call_with_id("ping", {}, "abcdefgh2"),
        ],
    },
    answer_with_id("water", "ok", "abcdefgh1"),
    answer_with_id("ping", "pong", "abcdefgh2"),
    assistant("Both done."),
]
STYLES = {
    "deepseek_style": CHATML,
    "function_tag_style": CHATML,
    "glm_style": CHATML,
    "llama_style": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"},
    "mistral_style": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"},
    "string_arguments": CHATML,
    "xml_style": CHATML,
}
STYLE_ROWS = {
    "one call": (one_call(RICH), [WATER]),
    "two calls": (TWO_CALLS, [WATER, PING]),
    "no call": ([user("Hi!"), assistant("Hello.")], [WATER]),
}


def arguments_as_text(messages):
    messages = json.loads(json.dumps(messages))
    for call in (call for message in messages for call in message.get("tool_calls", [])):
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return messages


def styles():
    """Renders every template with every row that it accepts."""
    for name, special_tokens in STYLES.items():
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.BPE()),
            chat_template=(FOLDER / f"{name}.jinja").read_text(encoding="utf-8"),
            **special_tokens,
        )
        for row, (messages, tools) in STYLE_ROWS.items():
            if name == "llama_style" and row == "two calls":
                continue
            given = arguments_as_text(messages) if name == "string_arguments" else messages
            for prompt in [False, True]:
                text = tokenizer.apply_chat_template(
                    given[:1] if prompt else given,
                    tools=tools,
                    add_generation_prompt=prompt,
                    date_string="31 Jan 2026",
                    tokenize=False,
                )
                yield {"template": name, "row": row, "prompt": prompt, "text": text}


OPTIONS = [
    {"prompt": False, "thinking": False},
    {"prompt": True, "thinking": False},
    {"prompt": True, "thinking": True},
]


def main():
    rows = {name: {"messages": messages, "tools": tools} for name, (messages, tools) in CONVERSATIONS.items()}
    write("conversations", rows)
    style_rows = {name: {"messages": messages, "tools": tools} for name, (messages, tools) in STYLE_ROWS.items()}
    write("styles", {"special_tokens": STYLES, "rows": style_rows, "renderings": list(styles())})
    for name, special_tokens in TEMPLATES.items():
        ours = LIBRARY / "src/template/hermes.jinja"
        file = ours if name.startswith("hermes") else FOLDER / f"{name}.jinja"
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.BPE()),
            chat_template=file.read_text(encoding="utf-8"),
            **special_tokens,
        )
        renderings = [rendering(tokenizer, row, **options) for row in CONVERSATIONS for options in OPTIONS]
        write(name, {"special_tokens": special_tokens, "renderings": renderings})


def rendering(tokenizer, conversation, prompt, thinking):
    messages, tools = CONVERSATIONS[conversation]
    text = tokenizer.apply_chat_template(
        messages, tools=tools or None, add_generation_prompt=prompt, enable_thinking=thinking, tokenize=False
    )
    return {"conversation": conversation, "prompt": prompt, "thinking": thinking, "text": text}


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, indent=1)
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


main()
