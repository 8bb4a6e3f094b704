"""Makes adapters for the tiny models with PEFT and records what PyTorch computes with them: the reference of our LoRA.

    pip install -r scripts/dev/golden/requirements.txt
    python scripts/dev/golden/lora.py            # writes toolcall_lib/tests/golden/lora/<name>/; run models.py before

Each folder is an adapter folder as `PeftModel.save_pretrained` writes it (`adapter_config.json`,
`adapter_model.safetensors`) for the model of the same name in `tests/golden/models`, with its reference. B is
random too, or half of the gradients would be zero. Sequences, loss and optimizer are the same as in `models.py`.

`reference.json`
    loss, grad_norm     mean of -log p over the targets of all sequences, and the norm of its gradient
    training            ten AdamW steps on that batch, as in the reference of the model
`reference.safetensors`
    logits.0            logits of the first sequence, [tokens, vocabulary]
    grad.<parameter>    gradient of `loss`, by the name in `adapter_model.safetensors`
    final.<parameter>   adapter after the ten steps
    merged.<parameter>  weights of the blocks' linear layers after `merge_and_unload`, before the steps
"""

import copy
import json
import math
import os
from pathlib import Path

import peft
import torch
from models import FOLDER, MODELS, SEED, dump, logits, mean_loss, train
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).parents[3]
OUT = FOLDER.parent / "lora"

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS = {
    "qwen3": dict(r=4, lora_alpha=8, target_modules=ALL),
    "qwen2": dict(r=8, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "llama": dict(r=4, lora_alpha=4, use_rslora=True, target_modules=ALL),
    "llama_untied": dict(r=3, lora_alpha=7, target_modules=["k_proj", "o_proj", "up_proj", "down_proj"]),
}


def main():
    os.chdir(ROOT)  # the adapter names its base by this relative path
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name in MODELS:
        torch.manual_seed(SEED)
        base = FOLDER.relative_to(ROOT) / name
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
        config = LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **ADAPTERS[name])
        model = get_peft_model(model, config).eval()
        randomize(model)
        write(OUT / name, model, json.loads((base / "reference.json").read_text())["sequences"])


@torch.no_grad()
def randomize(model: PeftModel):
    for _, weight in trained(model):
        weight.copy_(0.2 * torch.randn_like(weight))


def trained(model: PeftModel) -> list[tuple[str, torch.nn.Parameter]]:
    """The adapter's parameters by their names in `adapter_model.safetensors`."""
    return [(n.replace(".default", ""), w) for n, w in model.named_parameters() if w.requires_grad]


def write(folder: Path, model: PeftModel, sequences: list[dict]):
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    loss, _, _ = mean_loss(model, sequences)
    loss.backward()
    reference = {
        "made_with": f"torch {torch.__version__}, peft {peft.__version__}, seed {SEED}",
        "loss": loss.item(),
        "grad_norm": math.sqrt(sum(w.grad.double().square().sum().item() for _, w in trained(model))),
    }
    tensors = {"logits.0": logits(model, sequences[0]["ids"]).detach()}
    tensors |= {f"grad.{name}": weight.grad.clone() for name, weight in trained(model)}
    merged = copy.deepcopy(model).merge_and_unload()
    linear = {n: w for n, w in merged.named_parameters() if n.split(".")[-2] in ALL and w.ndim == 2}
    tensors |= {f"merged.{name}": weight.detach() for name, weight in linear.items()}
    reference["training"] = train(model, sequences)
    tensors |= {f"final.{name}": weight.detach() for name, weight in trained(model)}
    save_file(tensors, folder / "reference.safetensors")
    (folder / "reference.json").write_text(dump(reference))


if __name__ == "__main__":
    main()
