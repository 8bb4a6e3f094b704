"""`decode_speed` of our examples, done by llama.cpp: python scripts/dev/bench/llama_cpp_run.py FILE.gguf WORK.json"""

import ctypes
import json
import os
import re
import sys
import time
from pathlib import Path
from statistics import median

import llama_cpp
import numpy as np
from llama_cpp.llama_grammar import json_schema_to_gbnf

sys.path.append(str(Path(__file__).parent.parent / "verify"))
from export import open_model


def main():
    gguf, work = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    prompts, threads = work["prompts"], len(os.sched_getaffinity(0))
    longest = max(map(len, prompts)) + max(work["new_tokens"], work["most_call_tokens"]) + 8
    most = max(work["batches"])
    defaults = llama_cpp.llama_context_default_params

    def for_sequences():
        parameters = defaults()
        parameters.n_seq_max, parameters.kv_unified = most, False  # separate caches are faster
        return parameters

    llama_cpp.llama_cpp.llama_context_default_params = for_sequences
    model = open_model(gguf, n_ctx=most * longest, n_batch=2048, n_threads=threads, n_threads_batch=threads)
    sequences = Sequences(model)
    for _ in range(2):
        sequences.clear()
        start = time.perf_counter()
        sequences.add([(0, 0, prompts[0])])
        read = time.perf_counter() - start
    seconds = {batch: write(sequences, prompts[:batch], work["new_tokens"]) for batch in work["batches"]}
    size = llama_cpp.llama_model_size(model._model.model)
    result = {"prompt_tokens": len(prompts[0]), "read_seconds": read, "token_seconds": seconds, "weight_bytes": size}
    print(json.dumps(result | {"calls": calls(model, sequences, work)}))


def common(prompts: list[list[int]]) -> int:
    """Tokens that all prompts begin with."""
    return next((i for i, ids in enumerate(zip(*prompts, strict=False)) if len(set(ids)) > 1), min(map(len, prompts)) - 1)


def write(sequences: "Sequences", prompts: list[list[int]], new_tokens: int) -> float:
    """Median seconds of a token after each prompt."""
    sequences.clear()
    tokens = [sequences.add([(i, 0, prompt)])[0] for i, prompt in enumerate(prompts)]
    seconds = []
    for step in range(new_tokens + 1):
        start = time.perf_counter()
        tokens = sequences.add([(i, len(prompt) + step, [tokens[i]]) for i, prompt in enumerate(prompts)])
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


def calls(model: llama_cpp.Llama, sequences: "Sequences", work: dict) -> dict:
    """Median seconds of calls that answer prompts: cold, with nothing cached, and warm, with the prefix that a prompt shares
    with the one before it kept; the first call is not timed."""
    seconds, tokens, known = {"cold": [], "warm": []}, [], []
    grammar = gbnf(work["tools"])
    kept = Grammar(model, grammar)
    for text in work["call_prompts"]:
        for kind in seconds:
            start = time.perf_counter()
            prompt = model.tokenize(text.encode(), add_bos=False, special=True)
            if kind == "cold":
                sequences.clear()
                shared, held = 0, Grammar(model, grammar)
            else:
                shared, held = min(common([prompt, known]), len(prompt) - 1), kept.again()
                sequences.forget(shared)
            call = write_call(model, sequences, prompt, shared, held, work["most_call_tokens"])
            seconds[kind].append(time.perf_counter() - start)
            known = prompt
            tokens.append(len(call))
    return {f"{kind}_seconds": median(times[1:]) for kind, times in seconds.items()} | {"tokens": median(tokens)}


def write_call(model, sequences: "Sequences", prompt: list[int], shared: int, grammar: "Grammar", most: int) -> list[int]:
    """The tokens of a call up to its closing tag, at most `most`."""
    call, text, new = [], b"", prompt[shared:]
    while not text.endswith(b"</tool_call>") and len(call) < most:
        best = sequences.add([(0, len(prompt) + len(call) - len(new), new)])[0]
        token = grammar.choose(best, sequences.logits)
        call.append(token)
        text += model.detokenize([token], special=True)
        new = [token]
    return call


def gbnf(tools: list[dict]) -> str:
    """A call of one of the tools, as a grammar of llama.cpp."""
    functions = [tool["function"] for tool in tools]
    call = {
        "anyOf": [
            {
                "type": "object",
                "properties": {"name": {"const": function["name"]}, "arguments": function["parameters"]},
                "required": ["name", "arguments"],
            }
            for function in functions
        ]
    }
    rules = re.sub("^root ", "call ", json_schema_to_gbnf(json.dumps(call)), flags=re.MULTILINE)
    return f'root ::= "<tool_call>\\n" call "\\n</tool_call>"\n{rules}'


class Grammar:
    """Chooses the next token as llama.cpp's own programs do: it tries the best token first, the others only if necessary."""

    def __init__(self, model: llama_cpp.Llama, rules: str):
        self.sampler = llama_cpp.llama_sampler_init_grammar(model._model.vocab, rules.encode(), b"root")
        self.all = (llama_cpp.llama_token_data * model.n_vocab())()
        self.ids = np.arange(model.n_vocab(), dtype=np.int32)

    def again(self) -> "Grammar":
        """From the beginning."""
        llama_cpp.llama_sampler_reset(self.sampler)
        return self

    def choose(self, best: int, logits: np.ndarray) -> int:
        one = (llama_cpp.llama_token_data * 1)(llama_cpp.llama_token_data(best, logits[best], 0.0))
        self.apply(one)
        if one[0].logit == -np.inf:
            view = np.ctypeslib.as_array(self.all)
            view["id"], view["logit"] = self.ids, logits
            self.apply(self.all)
            best = int(np.argmax(view["logit"]))
        llama_cpp.llama_sampler_accept(self.sampler, best)
        return best

    def apply(self, candidates: ctypes.Array):
        array = llama_cpp.llama_token_data_array(candidates, len(candidates), -1, False)
        llama_cpp.llama_sampler_apply(self.sampler, ctypes.byref(array))


class Sequences:
    """Token sequences in the memory of a model."""

    def __init__(self, model: llama_cpp.Llama):
        self.context, self.vocabulary = model._ctx.ctx, model.n_vocab()
        self.batch = llama_cpp.llama_batch_init(4096, 0, 1)

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def forget(self, position: int):
        """Keeps the tokens before this position of the first sequence."""
        llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(self.context), 0, position, -1)

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
        pointers = (llama_cpp.llama_get_logits_ith(self.context, i) for i in last)
        rows = [np.ctypeslib.as_array(pointer, shape=(self.vocabulary,)) for pointer in pointers]
        self.logits = rows[-1]
        return [int(np.argmax(row)) for row in rows]


if __name__ == "__main__":
    main()
