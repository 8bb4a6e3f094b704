"""Compares the greedy text of a GGUF file that we wrote in llama.cpp with what our decoder wrote.

    python scripts/verify/export.py --gguf FILE --ours logits.safetensors

The second file is that of `cargo run --example logits` on the same model: `ids` [tokens], the prompt, and `greedy`, its most
likely continuation, at most 64 tokens, without the one that ends it. Needs scripts/verify/requirements_llama_cpp.txt.
"""

import argparse
import json
import struct
import sys
from pathlib import Path

import llama_cpp

MAX_NEW_TOKENS = 64


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--gguf", type=Path, required=True)
    options.add_argument("--ours", type=Path, required=True)
    arguments = options.parse_args()
    ours = integers(arguments.ours)
    model = open_model(arguments.gguf)
    greedy = []
    for token in model.generate(ours["ids"], temp=0.0, repeat_penalty=1.0):
        if llama_cpp.llama_vocab_is_eog(model._model.vocab, token) or len(greedy) == MAX_NEW_TOKENS:
            break
        greedy.append(token)
    if greedy != ours["greedy"]:
        sys.exit(f"FAILED: greedy tokens\n  ours:      {ours['greedy']}\n  llama.cpp: {greedy}")
    print(f"llama.cpp writes the same {len(greedy)} tokens: {model.detokenize(greedy).decode()!r}")


def open_model(file: Path, **settings) -> llama_cpp.Llama:
    """Without the buffers of AMX and repacked weights, with which llama-cpp-python 0.3.36 crashed on an Intel Xeon."""
    defaults = llama_cpp.llama_model_default_params

    def without_extra_buffers():
        parameters = defaults()
        parameters.use_extra_bufts = False
        return parameters

    llama_cpp.llama_cpp.llama_model_default_params = without_extra_buffers
    return llama_cpp.Llama(str(file), verbose=False, **({"n_ctx": 2048} | settings))


def integers(file: Path) -> dict[str, list[int]]:
    """The tensors of u32 in a safetensors file."""
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    return {
        name: list(struct.unpack(f"<{(end - start) // 4}I", data[start:end]))
        for name, tensor in header.items()
        if tensor["dtype"] == "U32"
        for start, end in [tensor["data_offsets"]]
    }


if __name__ == "__main__":
    main()
