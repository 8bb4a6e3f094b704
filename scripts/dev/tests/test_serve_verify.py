"""Tests of scripts/dev/verify/scoring.py and scripts/dev/verify/serve_bfcl.py."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "verify"))
from scoring import Scores, Turn, calls_of, read_rows, same_calls, wire  # noqa: E402
from serve_bfcl import as_sent, differs, json_types  # noqa: E402


def one(**arguments):
    return [("f", arguments)]


class Scoring(unittest.TestCase):
    def test_types_are_strict_but_a_whole_number_passes_for_a_fraction(self):
        for expected, got in [(5, 5), (5.0, 5), (True, True), ([1, {"a": 2.0}], [1, {"a": 2}]), ("é", "é")]:
            self.assertTrue(same_calls(one(x=expected), one(x=got)), (expected, got))
        for expected, got in [(5, 5.0), (5, "5"), (1, True), (5.5, 5), ("Mom", "mom"), ([1, 2], [2, 1]), (1.0, True)]:
            self.assertFalse(same_calls(one(x=expected), one(x=got)), (expected, got))

    def test_null_is_no_argument(self):
        self.assertTrue(same_calls(one(a=1), one(a=1, b=None)) and same_calls(one(a=None), one()))
        self.assertFalse(same_calls(one(a=1, b=None), one(b=1, a=None)) or same_calls(one(a=1), one(a=1, b=2)))

    def test_calls_match_in_any_order_each_once(self):
        f, g = ("f", {"x": 1}), ("g", {})
        self.assertTrue(same_calls([f, g, f], [g, f, f]))
        self.assertFalse(same_calls([f, g, f], [f, g, g]) or same_calls([f], [f, f]) or same_calls([f, f], [f]))

    def test_mistakes_are_told_as_eval_tells_them(self):
        call = ("f", {"x": 1})
        for turn, expected, kind in [
            (Turn("", [call], True), [call], None),
            (Turn("", [call], False), [call], "unfinished"),
            (Turn("Done.", [], True), [], None),
            (Turn(" ", [], True), [], "empty"),
            (Turn("", [call], True), [], "over_call"),
            (Turn("Done.", [], True), [call], "no_call"),
            (Turn("", [("g", {})], True), [call], "wrong_tool"),
            (Turn("", [("f", {"x": 2})], True), [call], "wrong_arguments"),
        ]:
            self.assertEqual(turn.mistake(expected), kind)

    def test_a_row_is_counted_up_to_its_first_mistake(self):
        scores, call = Scores(), ("f", {"x": 1})
        scores.add(0, [Turn("", [call], True), Turn("", [call], True)], [[call], [], [call]])
        scores.add(1, [Turn("", [("f", {})], True)], [[call], []])
        scores.add(2, [Turn("Hello.", [], True)], [[]])
        self.assertEqual(
            {name: (counts["count"], counts["total"]) for name, counts in scores.counts.items()},
            {
                "tool_selection": (2, 2),
                "arguments_exact": (1, 2),
                "over_calls": (0, 1),
                "exact": (2, 3),
                "conversation_flow": (1, 3),
                "unfinished": (0, 4),
            },
        )
        self.assertEqual(
            [(m["row"], m["turn"], m["kind"]) for m in scores.mistakes], [(0, 1, "over_call"), (1, 0, "wrong_arguments")]
        )


OWN = {"type": "dict", "properties": {
    "type": {"type": "any"},
    "area": {"type": "float", "description": "Area."},
    "spots": {"type": "array", "items": {"type": "tuple", "items": {"type": "float"}}},
}}  # fmt: skip
SENT = {"type": "object", "properties": {
    "type": {"type": "string"},
    "area": {"type": "number", "description": "Area. This is a float type value.", "format": "float"},
    "spots": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
}}  # fmt: skip


class Bfcl(unittest.TestCase):
    def test_a_row_has_the_words_that_were_sent_and_the_types_of_python(self):
        row = {"id": "a_0", "function": [{"name": "geo.area", "parameters": OWN}]}
        messages = [{"role": "user", "content": "It's \"here\"."}]
        request = {"message": repr(messages), "tools": [{"type": "function", "function": {"name": "geo_area", "parameters": SENT}}]}
        sent = as_sent(row, {"result": [], "inference_log": [{"role": "inference_input", "content": request}]})
        (function,) = sent["function"]
        self.assertEqual((sent["question"], function["name"]), ([messages], "geo_area"))
        properties = function["parameters"]["properties"]
        self.assertEqual(properties["area"] | {"type": "number"}, SENT["properties"]["area"])
        self.assertEqual([properties[name]["type"] for name in properties], ["string", "float", "array"])
        self.assertEqual(properties["spots"]["items"], OWN["properties"]["spots"]["items"])
        self.assertEqual(json.dumps(json_types(function["parameters"])), json.dumps(SENT))

    def test_a_request_that_failed_ends_it(self):
        with self.assertRaisesRegex(SystemExit, "a_0: Error during inference: 400"):
            as_sent({"id": "a_0"}, {"result": "Error during inference: 400"})

    def test_another_call_or_another_verdict_is_told(self):
        verdict = {"id": "a_0", "right": True, "finished": True, "calls": [{"name": "f", "arguments": {"x": 1}}]}
        for reply, wrong, told in [
            ([{"f": '{"x": 1}'}], set(), 0),
            ([{"f": '{"x": 1}'}], {"a_0"}, 1),
            ([{"f": '{"x": 2}'}], set(), 1),
            ("words", set(), 1),
        ]:
            self.assertEqual(len(differs(verdict, reply, wrong)), told, reply)
        self.assertEqual(differs(verdict | {"finished": False}, "words", set()), [])


class Rows(unittest.TestCase):
    def test_messages_are_sent_as_the_api_takes_them(self):
        def call(name):
            return {"type": "function", "function": {"name": name, "arguments": {"x": "é"}}}

        row = [
            {"role": "user", "content": "Hi", "weight": 0},
            {"role": "assistant", "tool_calls": [call("f"), call("g"), call("f")]},
            {"role": "tool", "name": "g", "content": "1"},
            {"role": "tool", "content": "2"},
            {"role": "tool", "name": "f", "content": "3"},
        ]
        said, called, *answers = wire(row)
        self.assertEqual(said, {"role": "user", "content": "Hi"})
        ids = [call["id"] for call in called["tool_calls"]]
        self.assertEqual(len(set(ids)), 3)
        self.assertEqual(called["tool_calls"][0]["function"], {"name": "f", "arguments": '{"x": "é"}'})
        self.assertEqual([answer["tool_call_id"] for answer in answers], [ids[1], ids[0], ids[2]])
        self.assertEqual([answer["name"] for answer in answers], ["g", "f", "f"])

    def test_rows_columns_and_lines_are_read_alike(self):
        row = {"messages": [{"role": "user", "content": "Hello."}], "tools": [{"type": "function"}]}
        columns = {name: [value] for name, value in row.items()}
        one_list = {"messages": [row["messages"]], "tools": row["tools"]}
        line = json.dumps(row)
        for text in [json.dumps([row]), line, f"{line}\n{line}", json.dumps(columns), json.dumps(one_list)]:
            self.assertEqual(self.read(text)[0], row)

    def test_what_is_not_read_is_refused(self):
        for row in [{"conversations": []}, {"messages": [], "functions": []}]:
            with self.assertRaisesRegex(SystemExit, "row 0: expected messages"):
                self.read(json.dumps([row]))

    def test_arguments_may_be_text(self):
        call = {"name": "f", "arguments": '{"x": 1}'}
        for given in [call, {"type": "function", "function": call | {"arguments": {"x": 1}}}]:
            self.assertEqual(calls_of({"tool_calls": [given]}), one(x=1))

    def read(self, text):
        with tempfile.TemporaryDirectory() as folder:
            (file := Path(folder, "a.json")).write_text(text)
            return read_rows(file)


if __name__ == "__main__":
    unittest.main()
