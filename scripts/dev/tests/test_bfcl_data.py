"""Tests of scripts/dev/verify/bfcl_data.py."""

import json
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "verify"))
from bfcl_data import matches  # noqa: E402

ROW = {
    "id": "kite_0",
    "question": [
        [
            {"role": "user", "content": "Fly the red kite over the hill."},
            {"role": "user", "content": "Hello!"},
        ]
    ],
    "function": [
        {
            "name": "fly_kite",
            "description": "Flies a kite until it rains.",
            "parameters": {"type": "dict"},
        }
    ],
}


class Data(unittest.TestCase):
    def found(self, text):
        """The matches of ROW in a file, and whether they matter."""
        with tempfile.TemporaryDirectory() as folder:
            wheel, file = Path(folder) / "a.whl", Path(folder) / "data.json"
            with zipfile.ZipFile(wheel, "w") as archive:
                archive.writestr(
                    "bfcl_eval/data/BFCL_v4_kite.json", json.dumps(ROW) + "\n" + json.dumps(ROW)
                )
            file.write_text(text)
            lines = [
                (line.removeprefix(f"{file}: the "), matters)
                for line, matters in matches(wheel, [file])
            ]
        return [(line.split(" ")[0], matters) for line, matters in lines]

    def talk(self, said, tools=()):
        return {"messages": [{"role": "user", "content": said}], "tools": list(tools)}

    def test_a_sentence_is_found_however_it_is_written(self):
        row = self.talk("fly the RED kite, over the hill")
        for text in (
            json.dumps([row]),
            json.dumps(row) + "\n" + json.dumps(row),
            json.dumps({"messages": [row["messages"]]}),
        ):
            self.assertEqual(self.found(text), [("sentence", True)])
        sharegpt = {
            "conversations": [{"from": "human", "value": "Fly the red kite over the hill."}]
        }
        self.assertEqual(self.found(json.dumps([sharegpt])), [("sentence", True)])

    def test_a_tool_is_found_by_its_description(self):
        tool = {
            "type": "function",
            "function": {"name": "other", "description": "Flies a kite until it rains"},
        }
        for tools in ([tool], json.dumps([tool])):
            self.assertEqual(
                self.found(json.dumps([{**self.talk("Up!"), "tools": tools}])),
                [("description", True)],
            )

    def test_what_everybody_says_and_names_is_of_no_weight(self):
        tool = {
            "type": "function",
            "function": {"name": "fly_kite", "description": "Something else entirely."},
        }
        self.assertEqual(
            self.found(json.dumps([self.talk("Hello", [tool])])),
            [("sentence", False), ("name", False)],
        )

    def test_other_data_is_clean(self):
        assistant = {"role": "assistant", "content": "Fly the red kite over the hill."}
        self.assertEqual(
            self.found(json.dumps([{"messages": [assistant, {"role": "user", "content": "Go."}]}])),
            [],
        )


if __name__ == "__main__":
    unittest.main()
