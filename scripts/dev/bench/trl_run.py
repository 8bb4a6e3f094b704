"""Fine-tunes a model with TRL's SFTTrainer and writes the loss and the time of each step.

    python scripts/dev/bench/trl_run.py --model FOLDER --rows rows.json --data data.json --steps 4 \
        --settings '{"bf16": true}' --out trl.json [--device cuda]

`rows.json` is the output of `toolcall inspect --json`: the sequences of each row as token ids. Where one sequence of a
row contains all others, as in templates that always write a turn the same way, TRL gets that sequence with the same
trained tokens, and the losses are comparable. Otherwise it gets the row of `data.json` as TRL itself would train it:
one rendering of its training template, which marks what the assistant writes.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.chat_template_utils import get_training_chat_template

IGNORED = -100


def main():
    arguments = parse()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    rows = [json.loads(line)["sequences"] for line in arguments.rows.read_text().splitlines()]
    merged = [merge(sequences) for sequences in rows]
    same_tokens = all(merged)
    if not same_tokens:
        merged = [render(row, tokenizer) for row in json.loads(arguments.data.read_text())]
    settings = SFTConfig(
        output_dir=str(arguments.out.with_suffix("")),
        use_cpu=arguments.device == "cpu",
        max_steps=arguments.steps,
        train_sampling_strategy="sequential",
        logging_steps=arguments.log_every,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **json.loads(arguments.settings),
    )
    clock = Clock()
    trainer = SFTTrainer(
        model, settings, train_dataset=Dataset.from_list(merged), processing_class=tokenizer, callbacks=[clock]
    )
    trainer.train()
    report = {
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "seconds": clock.seconds,
        "same_tokens": same_tokens,
    }
    if arguments.device == "cuda":
        report["peak_bytes"] = torch.cuda.max_memory_allocated()
    arguments.out.write_text(json.dumps(report) + "\n")


def parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--model", type=Path, required=True, help="Hugging Face folder")
    options.add_argument("--rows", type=Path, required=True, help="token ids, one row per line")
    options.add_argument("--data", type=Path, required=True, help="the same rows as conversations")
    options.add_argument("--steps", type=int, required=True)
    options.add_argument("--settings", default="{}", help="of SFTConfig, as JSON")
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options.add_argument("--log-every", type=int, default=1, help="steps after which the loss is read, which waits for a GPU")
    return options.parse_args()


def merge(sequences: list[dict]) -> dict | None:
    """The sequences of a row as one, if the longest begins with each of them."""
    longest = max((sequence["ids"] for sequence in sequences), key=len)
    labels = [IGNORED] * len(longest)
    for sequence in sequences:
        if longest[: len(sequence["ids"])] != sequence["ids"]:
            return None
        for i, trained in enumerate(sequence["trained"]):
            if trained:
                labels[i] = longest[i]
    return {"input_ids": longest, "labels": labels}


def render(row: dict, tokenizer) -> dict:
    """A conversation as TRL renders it with `assistant_only_loss`."""
    encoded = tokenizer.apply_chat_template(
        row["messages"],
        tools=row["tools"],
        chat_template=get_training_chat_template(tokenizer),
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids, mask = encoded["input_ids"], encoded["assistant_masks"]
    return {"input_ids": ids, "labels": [i if trained else IGNORED for i, trained in zip(ids, mask)]}


class Clock(TrainerCallback):
    """Seconds of each step, counted from the end of the step before, so that reading and padding a batch are included."""

    def __init__(self):
        self.seconds: list[float] = []
        self.last = 0.0

    def on_train_begin(self, *_, **__):
        self.last = time.perf_counter()

    def on_step_end(self, *_, **__):
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now


if __name__ == "__main__":
    main()
