"""`decode_speed` of our examples, done by transformers: python scripts/dev/bench/transformers_run.py FOLDER f32|bf16 WORK.json"""

import json
import sys
import time
from pathlib import Path
from statistics import median

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache


@torch.inference_mode()
def main():
    folder, dtype, work = sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text())
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind).eval()
    prompts = work["prompts"]
    for _ in range(2):
        start = time.perf_counter()
        model(torch.tensor([prompts[0]]), logits_to_keep=1)
        read = time.perf_counter() - start
    seconds = {batch: write(model, prompts[:batch], work["new_tokens"]) for batch in work["batches"]}
    size = sum(parameter.nbytes for parameter in model.parameters())
    result = {"prompt_tokens": len(prompts[0]), "read_seconds": read, "token_seconds": seconds, "weight_bytes": size}
    print(json.dumps(result | {"calls": calls(model, folder, work)}))


def write(model, prompts: list[list[int]], new_tokens: int) -> float:
    """Median seconds of a token after each prompt; prompts are cut to one length instead of padded."""
    ids = torch.tensor([prompt[-min(map(len, prompts)) :] for prompt in prompts])
    cache, seconds = DynamicCache(config=model.config), []
    for _ in range(new_tokens + 2):
        start = time.perf_counter()
        logits = model(ids, past_key_values=cache, logits_to_keep=1).logits
        ids = logits[:, -1].argmax(-1, keepdim=True)
        seconds.append(time.perf_counter() - start)
    return median(seconds[2:])


def calls(model, folder: str, work: dict) -> dict:
    """Medians over as many tokens as a call has, without a grammar; warm, the prefix that the prompts share has been read before."""
    tokenizer, seconds = AutoTokenizer.from_pretrained(folder), {"cold": [], "warm": []}
    prompts = [tokenizer(text, add_special_tokens=False).input_ids for text in work["call_prompts"]]
    shared = next(i for i, ids in enumerate(zip(*prompts, strict=False)) if len(set(ids)) > 1)
    for text in work["call_prompts"]:
        for kind, times in seconds.items():
            cache = DynamicCache(config=model.config)
            if kind == "warm":
                model(torch.tensor([prompts[0][:shared]]), past_key_values=cache, logits_to_keep=1)
            start = time.perf_counter()
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
            ids = ids[:, cache.get_seq_length() :]
            for _ in range(work["call_tokens"]):
                ids = model(ids, past_key_values=cache, logits_to_keep=1).logits[:, -1].argmax(-1, keepdim=True)
            times.append(time.perf_counter() - start)
    return {f"{kind}_seconds": median(times[1:]) for kind, times in seconds.items()} | {"tokens": work["call_tokens"]}


if __name__ == "__main__":
    main()
