"""Runs the script of the server's page in node, in place of a browser, and checks which tools it shows."""

import json
import shutil
import subprocess
import unittest
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "toolcall_lib/src/serve/page.html"

# The parts of a browser that the page uses. `kept` is the storage of the browser between one visit and
# the next.
BROWSER = """
const element = () => {
  const listeners = {};
  const known = {
    value: "", listeners, style: {}, rows: [], classList: { add() {}, remove() {}, toggle() {} },
    addEventListener(kind, does) { listeners[kind] = does; },
  };
  return new Proxy(known, { get: (of, name) => name in of ? of[name] : () => undefined });
};
const elements = {};
const kept = new Map();
const stored = {
  getItem: (name) => kept.get(name) ?? null,
  setItem: (name, text) => kept.set(name, text),
  removeItem: (name) => kept.delete(name),
};
const at = (id) => elements[id] ??= element();
const document = {
  getElementById: at, createElement: element, addEventListener() {}, documentElement: { style: {} },
};
const run = new Function("document", "localStorage", "fetch", "matchMedia", script);
async function visit(tools) {
  for (const id of Object.keys(elements)) delete elements[id];
  const answers = { "/v1/models": { data: [{ id: "one" }] }, "/tools": { one: tools } };
  const fetched = async (path) => ({ ok: true, json: async () => answers[path] });
  run(document, stored, fetched, () => ({ matches: false }));
  await new Promise((resolve) => setTimeout(resolve, 20));
}
const shown = () => [JSON.parse(at("tools").value).map((tool) => tool.name), at("reset").disabled];
const edit = (tools) => { at("tools").value = JSON.stringify(tools); at("tools").listeners.input(); };
"""

VISITS = """
const [f, g, mine] = ["f", "g", "mine"].map((name) => ({ name }));
const seen = [];
await visit([f]); seen.push(shown());
await visit([g]); seen.push(shown());
edit([g, mine]); seen.push(shown());
await visit([g]); seen.push(shown());
await visit([f]); seen.push(shown());
await visit([g]); at("reset").listeners.click(); seen.push(shown());
await visit([g]); seen.push(shown());
console.log(JSON.stringify([seen, kept.size]));
"""


@unittest.skipUnless(shutil.which("node"), "there is no node")
class Tools(unittest.TestCase):
    def test_edits_belong_to_the_list_that_they_were_made_to(self):
        script = PAGE.read_text().split("<script>")[1].split("</script>")[0]
        code = f"const script = {json.dumps(script)};\n{BROWSER}\n(async () => {{ {VISITS} }})();"
        ran = subprocess.run(["node", "-e", code], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        seen, kept = json.loads(ran.stdout)
        expected = [
            [["f"], True],
            [["g"], True],  # a server with other tools shows those
            [["g", "mine"], False],
            [["g", "mine"], False],  # an edit is kept
            [["f"], True],
            [["g"], True],  # after the reset
            [["g"], True],
        ]
        self.assertEqual(seen, expected)
        self.assertEqual(kept, 0, "what was not edited is not kept")


if __name__ == "__main__":
    unittest.main()
