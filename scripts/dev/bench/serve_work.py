"""The requests of `serve.py`: five tools, and questions of mixed lengths."""

import json
import random

from jsonschema import Draft202012Validator


def tool(name: str, description: str, required: list[str], **properties: dict) -> dict:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


ROOMS = ["kitchen", "bedroom", "bathroom", "office", "hall"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
ROOM = {"type": "string", "enum": ROOMS, "description": "The room."}

# No bounds on numbers: llama.cpp's converter cannot enforce them.
TOOLS = [
    tool(
        "set_heating",
        "Sets the temperature of a room.",
        ["room", "degrees"],
        room=ROOM,
        degrees={"type": "integer", "description": "Degrees Celsius."},
        mode={"type": "string", "enum": ["eco", "comfort"], "description": "How to heat."},
    ),
    tool(
        "set_light",
        "Switches the lights of rooms.",
        ["rooms", "on"],
        rooms={"type": "array", "items": {"type": "string", "enum": ROOMS}, "minItems": 1, "maxItems": 3, "description": "Which rooms."},
        on={"type": "boolean", "description": "On or off."},
    ),
    tool(
        "start_timer",
        "Starts a timer.",
        ["minutes"],
        minutes={"type": "integer", "description": "Length in minutes."},
        label={"type": "string", "description": "A name for the timer."},
    ),
    tool(
        "add_appointment",
        "Adds an appointment to the calendar.",
        ["title", "day", "hour"],
        title={"type": "string", "description": "A short title."},
        day={"type": "string", "enum": DAYS, "description": "Day of the week."},
        hour={"type": "integer", "description": "Hour of the day, 0 to 23."},
    ),
    tool(
        "play_music",
        "Plays music in a room.",
        ["genre", "room"],
        genre={"type": "string", "enum": ["jazz", "rock", "classical", "pop"], "description": "Kind of music."},
        room=ROOM,
        volume={"type": "integer", "description": "Volume in percent."},
    ),
]

MESSAGES = [{"role": "system", "content": "You run a house. Do what its people ask for with the tools, and say nothing else."}]

ASKED = [
    "Make it {number} degrees in the {room}.",
    "Turn the lights off in the {room} and the {other}.",
    "Set a timer for {number} minutes for the {food}.",
    "Put dinner with {person} on {day} at {hour}.",
    "Play some jazz in the {room} at {number} percent.",
]

TALK = [
    "I came home late from work and {person} had already made {food} for all of us.",
    "The train was crowded again, so I stood for {number} minutes.",
    "On {day} we talked about painting the {room}, but nobody could agree on a color.",
    "{person} says that the {other} smells of {food}, and I think so too.",
    "We have to leave at {hour} tomorrow, which is earlier than I would like.",
]

WORDS = {
    "room": ROOMS,
    "other": ROOMS,
    "day": DAYS,
    "food": ["pasta", "rice", "bread", "soup", "eggs"],
    "person": ["Anna", "Ben", "Clara", "David", "Emma"],
}


def questions(count: int, seed: int) -> list[str]:
    """Different questions; a third of them follow a few sentences of talk, a third many."""
    chance = random.Random(seed)
    asked: list[str] = []
    while len(asked) < count:
        talk = chance.choice([0, 2, 8])
        sentences = [*chance.choices(TALK, k=talk), chance.choice(ASKED)]
        asked.append(f"{' '.join(filled(sentence, chance) for sentence in sentences)} (Note {len(asked)} of {seed}.)")
    return asked


def filled(sentence: str, chance: random.Random) -> str:
    words = {name: chance.choice(list_of) for name, list_of in WORDS.items()}
    return sentence.format(number=chance.randint(2, 90), hour=f"{chance.randint(1, 11)} PM", **words)


CHECKS = {of["function"]["name"]: Draft202012Validator(of["function"]["parameters"]) for of in TOOLS}


def problem(calls: list[tuple[str, str]]) -> str | None:
    """The problem with the calls of a reply; None if it is one call of a tool with valid arguments."""
    if len(calls) != 1:
        return f"{len(calls)} calls"
    ((name, text),) = calls
    if name not in CHECKS:
        return f"there is no tool {name}"
    try:
        arguments = json.loads(text)
    except ValueError as error:
        return f"{name}: {error}: {text}"
    wrong = next(CHECKS[name].iter_errors(arguments), None)
    return wrong and f"{name}: {wrong.message}: {text}"
