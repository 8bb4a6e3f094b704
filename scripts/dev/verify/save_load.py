"""Loads a folder that we saved with transformers, and compares its template and its tokenizer with ours.

    python scripts/dev/verify/save_load.py --model out/tuned --data data/tool_augmented_dataset.json

The weights are compared by logits.py.
"""

import json
from functools import partial
from pathlib import Path

from reference import inspect, load, parser, same


def main():
    options = parser(__doc__)
    options.add_argument("--model", type=Path, required=True, help="a folder that we saved")
    options.add_argument("--data", type=Path, required=True, help="rows with a tools list each")
    options.add_argument("--count", type=int, default=20, help="rows to compare")
    arguments = options.parse_args()
    model, tokenizer = load(arguments.model)
    print(
        f"transformers loads {arguments.model}: {type(model).__name__}, {model.num_parameters():,} parameters"
    )
    data = json.loads(arguments.data.read_text())
    for ours in inspect(arguments.model, arguments.data)[: arguments.count]:
        check_row(ours, data["messages"][ours["row"]], data["tools"][ours["row"]], tokenizer)


def check_row(ours: dict, messages: list[dict], tools: list[dict], tokenizer):
    """The whole text; of each assistant turn the prompt, its token ids, and the text of the reply."""
    row = f"row {ours['row']}"
    render = partial(tokenizer.apply_chat_template, tools=tools, tokenize=False)
    text = render(messages)
    same(f"{row}: text", ours["text"], text)
    turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    prompts = [render(messages[:turn], add_generation_prompt=True) for turn in turns]
    same(f"{row}: prompts", ours["prompts"], prompts)
    for prompt, sequence in zip(prompts, ours["sequences"], strict=True):
        ids, start = sequence["ids"], sequence["trained"].index(1)
        same(f"{row}: token ids of a prompt", ids[:start], tokenizer.encode(prompt, add_special_tokens=False))
        same(f"{row}: a reply", text.find(tokenizer.decode(ids[start:])) >= 0, True)
    print(f"{row}: text and {len(turns)} prompts are equal")


if __name__ == "__main__":
    main()
