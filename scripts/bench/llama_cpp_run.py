"""`decode_speed` of our examples, done by llama.cpp: python scripts/bench/llama_cpp_run.py FILE.gguf WORK.json"""

import json
import os
import sys
import time
from pathlib import Path
from statistics import median

import llama_cpp
import numpy as np

sys.path.append(str(Path(__file__).parent.parent / "verify"))
from export import open_model


def main():
    gguf, work = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    prompts, threads = work["prompts"], len(os.sched_getaffinity(0))
    longest = max(map(len, prompts)) + work["new_tokens"] + 8
    most = max(work["batches"])
    room = longest + (most - 1) * (longest - common(prompts))
    defaults = llama_cpp.llama_context_default_params

    def for_sequences():
        parameters = defaults()
        parameters.n_seq_max, parameters.kv_unified = most, True
        return parameters

    llama_cpp.llama_cpp.llama_context_default_params = for_sequences
    model = open_model(gguf, n_ctx=room, n_batch=2048, n_threads=threads, n_threads_batch=threads)
    sequences = Sequences(model)
    for _ in range(2):
        sequences.clear()
        start = time.perf_counter()
        sequences.add([(0, 0, prompts[0])])
        read = time.perf_counter() - start
    seconds = {batch: write(sequences, prompts[:batch], work["new_tokens"]) for batch in work["batches"]}
    size = llama_cpp.llama_model_size(model._model.model)
    result = {"prompt_tokens": len(prompts[0]), "read_seconds": read, "token_seconds": seconds, "weight_bytes": size}
    print(json.dumps(result))


def common(prompts: list[list[int]]) -> int:
    """Tokens that all prompts begin with."""
    return next((i for i, ids in enumerate(zip(*prompts, strict=False)) if len(set(ids)) > 1), min(map(len, prompts)) - 1)


def write(sequences: "Sequences", prompts: list[list[int]], new_tokens: int) -> float:
    """Median of the seconds that a token after each prompt takes; what the prompts share is read once."""
    sequences.clear()
    shared = min(common(prompts), len(prompts[0]) - 1) if len(prompts) > 1 else 0
    if shared:
        sequences.add([(0, 0, prompts[0][:shared])])
        sequences.share(len(prompts))
    tokens = [sequences.add([(i, shared, prompt[shared:])])[0] for i, prompt in enumerate(prompts)]
    seconds = []
    for step in range(new_tokens + 1):
        start = time.perf_counter()
        tokens = sequences.add([(i, len(prompt) + step, [tokens[i]]) for i, prompt in enumerate(prompts)])
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


class Sequences:
    """Token sequences in the memory of a model."""

    def __init__(self, model: llama_cpp.Llama):
        self.context, self.vocabulary = model._ctx.ctx, model.n_vocab()
        self.batch = llama_cpp.llama_batch_init(4096, 0, 1)

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def share(self, count: int):
        """Gives all sequences what the first one holds."""
        memory = llama_cpp.llama_get_memory(self.context)
        for sequence in range(1, count):
            llama_cpp.llama_memory_seq_cp(memory, 0, sequence, -1, -1)

    def add(self, parts: list[tuple[int, int, list[int]]]) -> list[int]:
        """Adds tokens to sequences from a position on; returns the most likely token after each."""
        last, count = [], 0
        for sequence, position, ids in parts:
            for i, token in enumerate(ids):
                self.batch.token[count], self.batch.pos[count] = token, position + i
                self.batch.n_seq_id[count], self.batch.seq_id[count][0] = 1, sequence
                self.batch.logits[count] = i == len(ids) - 1
                count += 1
            last.append(count - 1)
        self.batch.n_tokens = count
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            sys.exit("error: llama_decode failed")
        logits = (llama_cpp.llama_get_logits_ith(self.context, i) for i in last)
        return [int(np.argmax(np.ctypeslib.as_array(row, shape=(self.vocabulary,)))) for row in logits]


if __name__ == "__main__":
    main()
