"""Records the schemas that transformers makes of documented functions: the reference of `#[tool]`.

    pip install -r scripts/dev/golden/requirements.txt
    python scripts/dev/golden/tools.py             # writes toolcall_lib/tests/golden/tools/<function>.json

`toolcall_lib/tests/tool.rs` has the same functions in Rust, with the same docstrings.

`<function>.json`
    made_by  this script and the version of transformers
    schema   transformers.utils.get_json_schema(function)
"""

import json
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import transformers
from transformers.utils import get_json_schema

FOLDER = Path(__file__).parents[3] / "toolcall_lib/tests/golden/tools"


class Unit(Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Opaque:
    """A class for which there is no JSON schema."""


def start_timer(duration: int) -> int:
    """Starts a timer for the specified duration in seconds.

    Args:
        duration: Duration in seconds to set the timer for.

    Returns:
        The duration set for the timer.
    """


def create_reminder(time: str, note: str) -> str:
    """Creates a reminder for the specified time and note.

    Args:
        time: The time for the reminder.
        note: The note for the reminder.

    Returns:
        A confirmation message indicating that the reminder has been set.
    """


def speak_with_an_agent():
    """Connects to an agent."""


def scalars(count: int, ratio: float, text: str, flag: bool, anything: Any) -> bool:
    """Takes one value of each kind.

    Args:
        count: A whole number.
        ratio: A number.
        text: A text.
        flag: Yes or no.
        anything: Any JSON.
    """


def collections(
    numbers: list[int],
    matrix: list[list[float]],
    ages: dict[str, int],
    tags: dict[str, list[str]],
    pair: tuple[int, str],
    rows: list[dict[str, Any]],
    values: list[Any],
) -> list[str]:
    """Takes values inside values.

    Args:
        numbers: Whole numbers.
        matrix: Rows of numbers.
        ages: Ages by name.
        tags: Tags by name.
        pair: A number and its name.
        rows: Anything by name.
        values: Anything.

    Returns:
        The names.
    """


def optionals(
    city: str,
    note: str | None = None,
    count: int | None = None,
    flag: bool | None = None,
    tags: list[str] | None = None,
    point: tuple[float, float] | None = None,
    ages: dict[str, int] | None = None,
) -> str | None:
    """Takes one value, and more if they are there.

    Args:
        city: The city.
        note: A note.
        count: How many.
        flag: Yes or no.
        tags: Tags.
        point: Where.
        ages: Ages by name.

    Returns:
        What was found, if anything.
    """


def enums(
    unit: Unit,
    units: list[Unit],
    only: Literal["only"],
    fallback: Unit | None = None,
) -> Unit:
    """Takes one of several values.

    Args:
        unit: The unit.
        units: All units.
        only: There is no choice.
        fallback: Another unit.

    Returns:
        The unit that was taken.
    """


def choices(drink: str, level: int, size: str | None = None, sugar: str | None = None):
    """Takes choices from the docstring.

    Args:
        drink: The drink (choices: ["tea", " coffee "])
        level: How strong (Choices: [1, 2, 3])
        size: The size, (any) of these.
            (CHOICES:["small", "größer"])
        sugar: With sugar (choices are free)
    """


def unions(
    id: int | str,
    place: str | tuple[float, float],
    label: str | int | None = None,
    mixed: list[int] | str | None = None,
):
    """Takes values of several types.

    Args:
        id: A number or a name.
        place: A city or its coordinates.
        label: A name or a number.
        mixed: Numbers or a text.
    """


def layout(first: str, second: int, third: bool) -> str:
    """
    Does it in "two" lines: \\d, é, 日本 –
    with Args: that are not in this one.

      An indented paragraph.

    Args:
        first: A description
            on several lines,
              with: colons

            and a blank line.
        second:
            Starts on the next line.

        third: Last: one

    Returns:
        Text that stays
          on two lines.

    Raises:
        ValueError: never.
    """


def plain_layout(second: int, first: str) -> str:
    """Does it in two lines,
    and says so.

    Args:
        first: The first, described first.
        second: The second.
    Returns:
        A text.
    """


def returns_nothing(text: str) -> None:
    """Returns nothing.

    Args:
        text: A text.
    """


def returns_opaque(text: str) -> Opaque:
    """Returns what has no schema.

    Args:
        text: A text.

    Returns:
        An object.
    """


FUNCTIONS = [
    start_timer, create_reminder, speak_with_an_agent, scalars, collections, optionals, enums, choices,
    unions, layout, plain_layout, returns_nothing, returns_opaque,
]  # fmt: skip


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    made_by = f"scripts/dev/golden/tools.py, transformers {transformers.__version__}"
    for function in FUNCTIONS:
        golden = {"made_by": made_by, "schema": get_json_schema(function)}
        text = json.dumps(golden, indent=2, ensure_ascii=False)
        (FOLDER / f"{function.__name__}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
