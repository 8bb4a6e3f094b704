"""Answers prompts with llama.cpp, greedily: a line of JSON for each, in and out. `toolcall export --check` runs it.

arguments: FILE.gguf CONTEXT_TOKENS LONGEST_REPLY
"""

import json
import sys
from pathlib import Path

import llama_cpp


def main():
    gguf, context, longest = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    model = llama_cpp.Llama(gguf, n_ctx=context, verbose=False)
    for line in sys.stdin:
        prompt = model.tokenize(json.loads(line)["prompt"].encode(), add_bos=False, special=True)
        reply, finished = [], False
        for token in model.generate(prompt, temp=0.0, repeat_penalty=1.0):
            finished = llama_cpp.llama_vocab_is_eog(model._model.vocab, token)
            if finished or len(reply) == longest or len(prompt) + len(reply) + 1 == context:
                break
            reply.append(token)
        text = model.detokenize(reply, prev_tokens=prompt, special=True).decode(errors="replace")
        print(json.dumps({"text": text, "finished": bool(finished)}), flush=True)


def without_repacked_weights():
    """llama-cpp-python 0.3.36 crashes with them on processors with AMX."""
    defaults = llama_cpp.llama_model_default_params

    def parameters():
        chosen = defaults()
        chosen.use_extra_bufts = False
        return chosen

    llama_cpp.llama_cpp.llama_model_default_params = parameters


if "amx_tile" in Path("/proc/cpuinfo").read_text():
    without_repacked_weights()
main()
