"""Compares the logits and the greedy tokens of a model with transformers.

    python scripts/dev/verify/logits.py --model M --ours logits.safetensors

M is a GGUF file or a Hugging Face folder. The file has the results of our decoder: `ids` [tokens], `logits`
[tokens, vocabulary], and `greedy`, the most likely continuation of `ids`: at most 64 tokens, without the
end token. `cargo run --example logits` writes it.
"""

from pathlib import Path

import torch
from reference import close, load, parser, same
from safetensors.torch import load_file

TOLERANCE = 1e-3
MAX_NEW_TOKENS = 64


@torch.no_grad()
def main():
    options = parser(__doc__)
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--ours", type=Path, required=True)
    arguments = options.parse_args()
    model, tokenizer = load(arguments.model)
    ours = load_file(arguments.ours)
    ids = ours["ids"].long()[None]
    close(f"logits of {ids.shape[1]} tokens", ours["logits"], model(ids).logits[0], TOLERANCE)
    greedy = model.generate(ids, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)[0, ids.shape[1] :]
    our_text, text = (
        tokenizer.decode(reply, skip_special_tokens=True) for reply in (ours["greedy"].long(), greedy)
    )
    same("greedy text", our_text, text)
    print(f"the same greedy text: {text!r}")


if __name__ == "__main__":
    main()
