"""Loads an adapter folder that we saved with PEFT, and compares logits and merged weights with ours.

    python scripts/dev/verify/adapter.py --adapter out/lora --ours logits.safetensors --merged out/merged

The base is what `base_model_name_or_path` names: a GGUF file or a Hugging Face folder. The file holds what our decoder
computed with the unmerged adapter; `cargo run --example logits` writes it. `out/merged` is what `toolcall export` made of the
adapter.
"""

import json
from pathlib import Path

import torch
from peft import PeftModel
from reference import close, load, parser
from safetensors.torch import load_file

TOLERANCE = 1e-3


@torch.no_grad()
def main():
    options = parser(__doc__)
    options.add_argument("--adapter", type=Path, required=True, help="an adapter folder that we saved")
    options.add_argument("--ours", type=Path, required=True)
    options.add_argument("--merged", type=Path, required=True, help="the same adapter merged into a whole model")
    arguments = options.parse_args()
    config = json.loads((arguments.adapter / "adapter_config.json").read_text())
    base, _ = load(Path(config["base_model_name_or_path"]))
    ours = load_file(arguments.ours)
    ids = ours["ids"].long()[None]
    plain = base(ids).logits[0]
    model = PeftModel.from_pretrained(base, arguments.adapter)
    trainable = sum(w.numel() for n, w in model.named_parameters() if "lora_" in n)
    print(f"peft loads {arguments.adapter}: {trainable:,} parameters in lora_A and lora_B")
    logits = model(ids).logits[0]
    print(f"the adapter moves logits by up to {(logits - plain).abs().max():.2f}")
    close(f"logits of {ids.shape[1]} tokens", ours["logits"], logits, TOLERANCE)
    merged, _ = load(arguments.merged)
    close("logits of our merged model", merged(ids).logits[0], logits, TOLERANCE)
    close("merged weights", flat(merged), flat(model.merge_and_unload()), 1e-5)


def flat(model: torch.nn.Module) -> torch.Tensor:
    """All weights, in the order of their names."""
    return torch.cat([weight.detach().flatten() for _, weight in sorted(model.named_parameters())])


if __name__ == "__main__":
    main()
