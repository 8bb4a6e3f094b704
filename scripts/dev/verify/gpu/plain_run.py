"""Fine-tunes a model in a plain PyTorch loop, as fast as we can make it without custom kernels, and writes the time of each step.

    python plain_run.py --model FOLDER --rows rows.jsonl --data data.json --steps 75 --batch 8 --out plain.json [--compile] [--device cuda]

The rows are those that `trl_run.py` trains. Weights are f32, products bf16 (autocast), attention is sdpa, AdamW fused, no checkpointing;
all batches are padded to one length, and only tokens with a target go through the output projection. With `--compile` the layers are
compiled by torch.compile.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

try:
    from trl_run import merge, render
except ImportError as missing:
    print(f"without TRL: {missing}")
    merge = render = None

IGNORED = -100
LEARNING_RATE = 2e-5
LOG_EVERY = 10


def main():
    arguments = parse()
    torch.manual_seed(0)
    device = arguments.device
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).to(device).train()
    batches = list(pad(read_rows(arguments, tokenizer), arguments.batch, device))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    layers = torch.compile(model.model) if arguments.compile else model.model
    seconds, losses, start = [], [], time.perf_counter()
    for step in range(arguments.steps):
        loss = train_step(model, layers, optimizer, *batches[step % len(batches)])
        rate = LEARNING_RATE * (1 - (step + 1) / arguments.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        if (step + 1) % LOG_EVERY == 0 or step + 1 == arguments.steps:
            losses.append(loss.item())
        now = time.perf_counter()
        seconds.append(now - start)
        start = now
    report = {"losses": losses, "seconds": seconds, "same_tokens": False}
    if device == "cuda":
        report["peak_bytes"] = torch.cuda.max_memory_allocated()
    arguments.out.write_text(json.dumps(report) + "\n")


def parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--rows", type=Path, required=True)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--steps", type=int, required=True)
    options.add_argument("--batch", type=int, required=True)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--compile", action="store_true")
    options.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    return options.parse_args()


def read_rows(arguments, tokenizer) -> list[dict]:
    """Ids and labels of each row, as in `trl_run.py`; without TRL, our longest sequence of the row."""
    sequences = [json.loads(line)["sequences"] for line in arguments.rows.read_text().splitlines()]
    if merge is None:
        return [labelled(max(of_row, key=lambda sequence: len(sequence["ids"]))) for of_row in sequences]
    merged = [merge(of_row) for of_row in sequences]
    if all(merged):
        return merged
    return [render(row, tokenizer) for row in json.loads(arguments.data.read_text())]


def labelled(sequence: dict) -> dict:
    pairs = zip(sequence["ids"], sequence["trained"], strict=True)
    return {"input_ids": sequence["ids"], "labels": [token if trained else IGNORED for token, trained in pairs]}


def pad(rows: list[dict], batch: int, device: str):
    """Ids and labels of whole batches; the labels are shifted to the next token."""
    longest = max(len(row["input_ids"]) for row in rows)
    length = (longest + 15) // 16 * 16
    for first in range(0, len(rows) // batch * batch, batch):
        ids = torch.zeros(batch, length, dtype=torch.long)
        labels = torch.full((batch, length), IGNORED)
        for i, row in enumerate(rows[first : first + batch]):
            ids[i, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
            labels[i, : len(row["labels"]) - 1] = torch.tensor(row["labels"][1:])
        places = (labels.flatten() != IGNORED).nonzero().flatten()
        yield ids.to(device), places.to(device), labels.flatten()[places].to(device)


def train_step(model, layers, optimizer, ids, places, targets) -> torch.Tensor:
    # rows are padded at their end, so causal attention alone keeps the padding out
    with torch.autocast(ids.device.type, dtype=torch.bfloat16):
        hidden = layers(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden.flatten(0, 1)[places])
        loss = torch.nn.functional.cross_entropy(logits.float(), targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


if __name__ == "__main__":
    main()
