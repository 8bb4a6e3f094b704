"""Reads prompts and writes tokens with transformers, for as many sequences at once as each batch size says.

    python replies.py --model FOLDER --prompts prompts.json --batches 1,8 --new 64 --results results.jsonl --stage e [--device cpu]

The weights are bf16, attention is sdpa, prompts are cut to one length instead of padded, decoding is greedy. After all
batches comes, if there is time, a cache of fixed size with torch.compile and CUDA graphs.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, DynamicCache, StaticCache

from results import Results

WARM_UP = 4


def main():
    arguments = parse()
    results = Results(arguments.results, arguments.stage)
    batches = [int(batch) for batch in arguments.batches.split(",")]
    prompts = json.loads(arguments.prompts.read_text())
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.bfloat16).to(arguments.device).eval()
    for batch in batches:
        ids = cut(prompts[:batch], arguments.device)
        cache = DynamicCache(config=model.config)
        write(model, model, ids, cache, WARM_UP, arguments.device)
        cache = DynamicCache(config=model.config)
        read, written = write(model, model, ids, cache, arguments.new, arguments.device)
        tokens = {"prompt_tokens": ids.numel(), "read_seconds": read, "token_seconds": written / arguments.new}
        results.add("replies", engine="transformers", batch=batch, **tokens)
    compiled = torch.compile(model, mode="reduce-overhead")
    for batch in batches:
        ids = cut(prompts[:batch], arguments.device)
        cache = StaticCache(config=model.config, max_cache_len=ids.shape[1] + arguments.new + 1)
        write(model, compiled, ids, cache, WARM_UP, arguments.device)
        with torch.inference_mode():
            cache.reset()
        read, written = write(model, compiled, ids, cache, arguments.new, arguments.device)
        tokens = {"prompt_tokens": ids.numel(), "read_seconds": read, "token_seconds": written / arguments.new}
        results.add("replies", engine="transformers, compiled", batch=batch, **tokens)


def parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--prompts", type=Path, required=True, help="token ids of the prompts")
    options.add_argument("--batches", required=True)
    options.add_argument("--new", type=int, required=True, help="tokens of a reply")
    options.add_argument("--results", type=Path, required=True)
    options.add_argument("--stage", required=True)
    options.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    return options.parse_args()


def cut(prompts: list[list[int]], device: str) -> torch.Tensor:
    length = min(map(len, prompts))
    return torch.tensor([prompt[-length:] for prompt in prompts], device=device)


@torch.inference_mode()
def write(reader, writer, ids: torch.Tensor, cache, new: int, device: str) -> tuple[float, float]:
    """Seconds to read the prompts, and to write the new tokens after each."""
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    wait()
    start = time.perf_counter()
    ids = choose(reader(ids, past_key_values=cache, logits_to_keep=1))
    wait()
    read = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(new):
        ids = choose(writer(ids, past_key_values=cache, logits_to_keep=1))
    wait()
    return read, time.perf_counter() - start


def choose(output) -> torch.Tensor:
    return output.logits[:, -1].argmax(-1, keepdim=True).clone()


if __name__ == "__main__":
    main()
