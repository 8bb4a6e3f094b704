"""Fine-tunes a model with a plain PyTorch loop over given token ids, and compares each loss with ours.

    python scripts/dev/verify/five_steps.py --model M.gguf --rows rows.json --out theirs.json
    python scripts/dev/verify/five_steps.py --ours run/train_report.json --theirs theirs.json

`rows.json` is `{"rows": [[{"ids": [...], "trained": [...]}, ...], ...]}`: the sequences of each row of the
data, with `trained[i]` true where token i is a target. A step takes the next rows in order. Nothing is
padded, packed or shared: sequences go through the model one by one, in f32, and the loss is the mean over the
targets of the step.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from reference import close, load, parser
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, get_linear_schedule_with_warmup

TOLERANCE = 1e-3


def main():
    arguments = parse()
    if arguments.rows:
        rows = json.loads(arguments.rows.read_text())["rows"]
        model, _ = load(arguments.model)
        steps = train(model, rows, arguments)
        arguments.out.write_text(json.dumps({"steps": steps}, indent=1) + "\n")
    if arguments.ours:
        compare(arguments.ours, arguments.theirs or arguments.out)


def parse() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--model", type=Path, help="GGUF file or Hugging Face folder")
    options.add_argument("--rows", type=Path, help="token ids to train on")
    options.add_argument("--out", type=Path, help="where to write the losses of the PyTorch loop")
    options.add_argument("--ours", type=Path, help="train_report.json of our run, to compare with")
    options.add_argument("--theirs", type=Path, help="losses that the PyTorch loop wrote before")
    options.add_argument("--steps", type=int, default=5)
    options.add_argument("--schedule-steps", type=int, default=75, help="when the learning rate is 0")
    options.add_argument("--batch", type=int, default=8, help="rows a step")
    options.add_argument("--lr", type=float, default=2e-5)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    return options.parse_args()


def train(model: PreTrainedModel, rows: list[list[dict]], arguments: argparse.Namespace) -> list[dict]:
    """AdamW, linear schedule without warmup, gradient norm clipped to 1."""
    torch.set_num_threads(arguments.threads)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, arguments.schedule_steps)
    reports = []
    for step in range(arguments.steps):
        start = time.perf_counter()
        batch = [s for row in rows[step * arguments.batch : (step + 1) * arguments.batch] for s in row]
        targets = sum(sum(sequence["trained"]) for sequence in batch)
        loss, correct = 0.0, 0
        optimizer.zero_grad()
        for sequence in batch:
            total, right = negative_log_likelihood(model, sequence)
            (total / targets).backward()
            loss, correct = loss + total.item() / targets, correct + right
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
        report = {
            "step": step + 1,
            "loss": loss,
            "token_accuracy": correct / targets,
            "grad_norm": norm,
            "learning_rate": schedule.get_last_lr()[0],
            "trained_tokens": targets,
        }
        print(report, f"{time.perf_counter() - start:.1f} s", flush=True)
        reports.append(report)
        optimizer.step()
        schedule.step()
    return reports


def negative_log_likelihood(model: PreTrainedModel, sequence: dict) -> tuple[torch.Tensor, int]:
    """Sum over the targets of -log p, and how many of them rank first."""
    ids = torch.tensor(sequence["ids"])
    targets = torch.tensor(sequence["trained"]).nonzero().squeeze(1)
    logits = model(ids[None], use_cache=False, logits_to_keep=targets - 1).logits[0]
    correct = (logits.argmax(-1) == ids[targets]).sum().item()
    return cross_entropy(logits, ids[targets], reduction="sum"), correct


def compare(our_state: Path, their_losses: Path):
    reference = json.loads(their_losses.read_text())["steps"]
    state = json.loads(our_state.read_text())["steps"][: len(reference)]
    for key, tolerance in [("loss", TOLERANCE), ("learning_rate", 1e-9)]:
        ours, theirs = (torch.tensor([step[key] for step in steps]) for steps in (state, reference))
        close(f"{key} of {len(reference)} steps", ours, theirs, tolerance)


if __name__ == "__main__":
    main()
