"""Runs a GGUF file that we wrote in llama.cpp, and compares the greedy text, or the logits, with those of our decoder.

    python scripts/dev/verify/export.py --gguf FILE --ours logits.safetensors [--exact logits.safetensors]

The other files are written by `cargo run --example logits` for the same model: `ids` [tokens], the prompt, `logits` [tokens,
vocabulary] of one pass, `steps` [last tokens, vocabulary] of passes of one token, and `greedy`, its most likely continuation, at
most 64 tokens, without the end token. Without --exact, llama.cpp must write the same tokens. With it, the file is quantized: --ours
has the results of our decoder with the packed weights, --exact its results in f32 with the same weights, unpacked (which logits.py
and save_load.py compare with transformers). Both programs round the factors of a product, so neither gives the exact logits; ours
must be no farther from them than llama.cpp's, whose keys and values are f32 here, both in one pass and token by token.
Needs scripts/dev/verify/requirements_llama_cpp.txt.
"""

import argparse
import json
import struct
import sys
from pathlib import Path

import llama_cpp
import numpy as np

MAX_NEW_TOKENS = 64
TYPES = {"U32": np.uint32, "F32": np.float32}
F32 = 0  # among the types of GGML


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--gguf", type=Path, required=True)
    options.add_argument("--ours", type=Path, required=True)
    options.add_argument("--exact", type=Path)
    arguments = options.parse_args()
    ours = tensors(arguments.ours)
    if arguments.exact is None:
        same_text(arguments.gguf, ours)
    else:
        no_farther(arguments.gguf, ours, tensors(arguments.exact))


def same_text(gguf: Path, ours: dict[str, np.ndarray]):
    model, greedy = open_model(gguf), []
    for token in model.generate(ours["ids"].tolist(), temp=0.0, repeat_penalty=1.0):
        if llama_cpp.llama_vocab_is_eog(model._model.vocab, token) or len(greedy) == MAX_NEW_TOKENS:
            break
        greedy.append(token)
    if greedy != ours["greedy"].tolist():
        sys.exit(f"FAILED: greedy tokens\n  ours:      {ours['greedy'].tolist()}\n  llama.cpp: {greedy}")
    print(f"llama.cpp writes the same {len(greedy)} tokens: {model.detokenize(greedy).decode()!r}")


def no_farther(gguf: Path, ours: dict[str, np.ndarray], exact: dict[str, np.ndarray]):
    ids = exact["ids"].tolist()
    if ours["ids"].tolist() != ids:
        sys.exit("FAILED: --ours and --exact are of different prompts")
    model = open_model(gguf, logits_all=True, type_k=F32, type_v=F32)
    model.eval(ids)
    compare(f"{gguf.name}: {len(ids)} tokens in one pass", ours["logits"], model.scores[: len(ids)], exact["logits"])
    steps = len(ours["steps"])
    model.reset()
    model.eval(ids[:-steps])
    for token in ids[-steps:]:
        model.eval([token])
    theirs = model.scores[len(ids) - steps : len(ids)]
    compare(f"{gguf.name}: {steps} tokens, one by one", ours["steps"], theirs, exact["logits"][-steps:])


def compare(what: str, ours: np.ndarray, theirs: np.ndarray, exact: np.ndarray):
    print(f"{what}: logits, root mean square from the exact ones, and equal most likely tokens:")
    distances = {}
    for name, a, b in (("ours", ours, exact), ("llama.cpp", theirs, exact), ("each other", ours, theirs)):
        distances[name] = float(np.sqrt(np.mean((a - b) ** 2, dtype=np.float64)))
        print(f"  {name:10}  {distances[name]:.4f}  {np.mean(a.argmax(-1) == b.argmax(-1)):.1%}")
    if not distances["ours"] <= distances["llama.cpp"]:
        sys.exit("FAILED: our logits are farther from the exact ones than llama.cpp's")


def open_model(file: Path, **settings) -> llama_cpp.Llama:
    """With repacked weights, where that works."""
    repack_where_it_works()
    return llama_cpp.Llama(str(file), verbose=False, **({"n_ctx": 2048} | settings))


def repack_where_it_works():
    """Loads models with repacked weights, except on processors with AMX: there llama-cpp-python 0.3.36 crashes with them."""
    defaults = llama_cpp.llama_model_default_params

    def fastest_that_works():
        parameters = defaults()
        parameters.use_extra_bufts = "amx_tile" not in Path("/proc/cpuinfo").read_text()
        return parameters

    llama_cpp.llama_cpp.llama_model_default_params = fastest_that_works


def tensors(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file."""
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    return {
        name: np.frombuffer(data[slice(*tensor["data_offsets"])], TYPES[tensor["dtype"]]).reshape(tensor["shape"])
        for name, tensor in header.items()
        if name != "__metadata__"
    }


if __name__ == "__main__":
    main()
