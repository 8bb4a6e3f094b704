"""Has the Berkeley Function Calling Leaderboard's own program ask a server, and compares its verdicts with those of `toolcall eval`.

usage: serve_bfcl.py bfcl COMMAND…                  `bfcl COMMAND…`, with the model that $OPENAI_BASE_URL serves among its models
       serve_bfcl.py ids CATEGORY ROWS FILE         the ids of the first rows, for `bfcl generate --run-ids`
       serve_bfcl.py rows CATEGORY WORK FOLDER      the rows as the program has sent them, for `toolcall eval --bfcl-data FOLDER`
       serve_bfcl.py compare CATEGORY WORK SENT.json OWN.json     the output of `toolcall eval` for these rows, and for the
                                                    leaderboard's own

WORK is its $BFCL_PROJECT_ROOT. The program changes the tools of the rows: OpenAI's API allows no dots in names, and
the program adds sentences to descriptions. So the verdicts are compared on the rows as they were sent, where they must be the
same; the score on the leaderboard's own rows shows the effect of the changes.
"""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
import types
from pathlib import Path

NAME = "toolcall"  # among the program's models; it takes no underscores

# Its list of models imports the client library of each vendor. Stubs take the place of those that are not installed; their classes
# cannot be used. The program's own code, OpenAI's client and the checker are unchanged.
STUBS = {"anthropic", "boto3", "cohere", "datamodel_code_generator", "google", "mistralai", "qwen_agent", "writerai"}

# Names of types that `toolcall eval` writes instead of Python's.
JSON_TYPES = {"dict": "object", "float": "number", "tuple": "array"}


class Unusable(type):
    """The type of classes that only have a name, as have all their members."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return unusable(f"{cls.__name__}.{name}")


def unusable(name: str) -> type:
    def refuse(*_, **__):
        raise ImportError(f"{name} belongs to a stub and cannot be used")

    return Unusable(name, (Exception,), {"__init__": refuse})


class Stub(types.ModuleType):
    """A module of a library that is not installed."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return unusable(f"{self.__name__}.{name}")


class Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the stubs."""

    def find_spec(self, name, _path, _target=None):
        return importlib.machinery.ModuleSpec(name, self) if name.split(".")[0] in STUBS else None

    def create_module(self, spec):
        return Stub(spec.name)

    def exec_module(self, module):
        pass


def bfcl(*command):
    """Adds a model to the list of the program, as its guide describes, and runs its command line."""
    sys.meta_path.append(Stubs())
    from bfcl_eval.constants.model_config import MODEL_CONFIG_MAPPING, ModelConfig
    from bfcl_eval.model_handler.api_inference.openai_completion import OpenAICompletionsHandler
    from openai import OpenAI

    MODEL_CONFIG_MAPPING[NAME] = ModelConfig(
        model_name=OpenAI().models.list().data[0].id,
        display_name=NAME,
        url="",
        org="",
        license="",
        model_handler=OpenAICompletionsHandler,
        is_fc_model=True,
        underscore_to_dot=True,
    )
    from bfcl_eval.__main__ import cli

    cli(list(command))


def data(category: str, answers: bool = False) -> list[dict]:
    """The leaderboard's rows, or their answers."""
    (package,) = importlib.util.find_spec("bfcl_eval").submodule_search_locations
    return lines(Path(package) / "data" / ("possible_answer" if answers else "") / f"BFCL_v4_{category}.json")


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines() if line.strip()]


def results(category: str, work: str, kind: str) -> list[dict]:
    """A file of the kind `result` or `score` that the program has written."""
    (file,) = Path(work, kind, NAME).rglob(f"BFCL_v4_{category}_{kind}.json")
    return lines(file)


def ids(category: str, rows: str, file: str):
    Path(file).write_text(json.dumps({category: [row["id"] for row in data(category)[: int(rows)]]}))


# The rows as they were sent.


def rows(category: str, work: str, folder: str):
    sent = {result["id"]: result for result in results(category, work, "result")}
    written, answers = [], []
    for row, answer in zip(data(category), data(category, answers=True), strict=True):
        if row["id"] in sent:
            written.append(as_sent(row, sent[row["id"]]))
            right = [{underscored(name): values for name, values in call.items()} for call in answer["ground_truth"]]
            answers.append({"id": answer["id"], "ground_truth": right})
    (place := Path(folder, "possible_answer")).mkdir(parents=True)
    for file, of in [(Path(folder), written), (place, answers)]:
        (file / f"BFCL_v4_{category}.json").write_text("".join(json.dumps(row) + "\n" for row in of))


def as_sent(row: dict, result: dict) -> dict:
    """A row with the messages and the tools that its request had."""
    if "inference_log" not in result:
        sys.exit(f"error: {row['id']}: {result['result']}\n{result.get('traceback', '')}")
    request = result["inference_log"][0]["content"]
    tools = [tool["function"] for tool in request["tools"]]
    functions = []
    for tool, own in zip(tools, row["function"], strict=True):
        function = tool | {"parameters": python_types(tool["parameters"], own["parameters"])}
        again = function | {"parameters": json_types(function["parameters"])}
        if json.dumps(again) != json.dumps(tool):
            sys.exit(f"error: {row['id']}: the tool cannot be written as a row\n  sent: {json.dumps(tool)}\n  row:  {json.dumps(again)}")
        functions.append(function)
    return {"id": row["id"], "question": [ast.literal_eval(request["message"])], "function": functions}


def underscored(name: str) -> str:
    return name.replace(".", "_")


def python_types(sent: dict, own: dict) -> dict:
    """The schema that was sent, with the row's names of types, which the checker reads."""
    kind = own.get("type")
    same = kind != sent.get("type") and JSON_TYPES.get(kind) == sent.get("type")
    return inner(sent | ({"type": kind} if same else {}), lambda schema, path: python_types(schema, at(own, path)))


def json_types(schema: dict) -> dict:
    """The schema with the names of types that `toolcall eval` writes."""
    kind = schema.get("type")
    return inner(schema | ({"type": JSON_TYPES[kind]} if kind in JSON_TYPES else {}), lambda schema, _: json_types(schema))


def inner(schema: dict, change) -> dict:
    """A schema whose nested schemas are changed."""
    schema = dict(schema)
    if isinstance(schema.get("properties"), dict):
        properties = schema["properties"].items()
        schema["properties"] = {name: change(of, ("properties", name)) for name, of in properties}
    if isinstance(schema.get("items"), dict):
        schema["items"] = change(schema["items"], ("items",))
    return schema


def at(schema: dict, path: tuple[str, ...]) -> dict:
    for key in path:
        schema = schema.get(key, {})
    return schema


# Verdicts.


def compare(category: str, work: str, sent: str, own: str):
    header, *failed = results(category, work, "score")
    wrong = {row["id"] for row in failed}
    replies = {row["id"]: row["result"] for row in results(category, work, "result")}
    (sent,), (own,) = (json.loads(Path(file).read_text()) for file in (sent, own))
    for what, right in [
        ("bfcl, over the server", header["correct_count"]),
        ("toolcall eval, the rows as bfcl sends them", sent["right"]),
        ("toolcall eval, the leaderboard's own rows", own["right"]),
    ]:
        print(f"{what:<44}{right:>5} of {len(replies)}  {right / len(replies):6.1%}")
    print(told(category, replies))
    print(f"effect of that change: {sent['right'] - own['right']:+d}; remaining difference: {header['correct_count'] - sent['right']:+d}")
    differences = [line for verdict in sent["verdicts"] for line in differs(verdict, replies[verdict["id"]], wrong)]
    if differences or len(sent["verdicts"]) != len(replies) or len(own["verdicts"]) != len(replies):
        sys.exit(f"{len(differences)} rows differ, of {len(replies)}:\n" + "\n".join(differences[:20]))
    print("ok    every call and every verdict is the same on the rows as they were sent")


def differs(verdict: dict, reply, wrong: set[str]) -> list[str]:
    """A line if the program's verdict or the server's calls differ. For a reply that is cut off, only the verdict counts."""
    right = verdict["id"] not in wrong
    theirs = [(name, json.loads(text)) for call in reply for name, text in call.items()] if isinstance(reply, list) else []
    ours = [(call["name"], call["arguments"]) for call in verdict["calls"]]
    if right == verdict["right"] and (ours == theirs or not verdict["finished"]):
        return []
    return [f"  {verdict['id']}: bfcl {right} {json.dumps(theirs)}\n    eval {verdict['right']} {json.dumps(ours)}"]


def told(category: str, asked: dict) -> str:
    """The changes that the program makes to the rows, in words."""
    functions = [function for row in data(category) if row["id"] in asked for function in row["function"]]
    dots = sum("." in function["name"] for function in functions)
    fractions = sum(json.dumps(function["parameters"]).count('"type": "float"') for function in functions)
    return (
        f"bfcl writes _ for . in the names of {dots} of {len(functions)} tools, says of each that it is in Python 3 syntax, and of "
        f"up to {fractions} arguments that they are floats"
    )


if __name__ == "__main__":
    commands = {"bfcl": bfcl, "ids": ids, "rows": rows, "compare": compare}
    command, *rest = sys.argv[1:] or [""]
    if command not in commands:
        sys.exit(__doc__)
    commands[command](*rest)
