"""Makes tiny models and records what PyTorch computes with them: the reference of our decoder, its gradients and AdamW.

    pip install -r scripts/dev/golden/requirements.txt
    python scripts/dev/golden/models.py            # writes toolcall_lib/tests/golden/models/<name>/

Each folder is a Hugging Face model folder as `save_pretrained` writes it (`config.json`, `model.safetensors`,
`generation_config.json`) with its reference. Everything is f32 on one CPU thread, one unpadded sequence
at a time.

`reference.json`
    sequences       [{"ids": [...], "trained": [0 or 1, ...]}, ...]; token i is a target if trained[i],
                    predicted from the tokens before it; trained[0] is 0
    trained_tokens  number of targets of all sequences, duplicates counted
    loss            mean of -log p over those targets, in nats
    correct         number of targets that the model ranks first
    grad_norm       L2 norm of the gradient of `loss`
    training        ten AdamW steps on that same batch: settings, and a list with a value per step of `losses`
                    and `correct` (before the step), `grad_norms` (before clipping) and `learning_rates`;
                    `decayed` names the parameters that weight decay reaches
    generation      [{"prompt": ids, "tokens": ids}, ...]: twelve greedy tokens of the untrained model
`reference.safetensors`
    logits.0, logits.1   logits of the first two sequences, [tokens, vocabulary]
    grad.<parameter>     gradient of `loss`, by Hugging Face name (a tied head has no separate gradient)
    final.<parameter>    weights after the ten steps
"""

import json
import math
import re
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, Trainer

SEED = 20
FOLDER = Path(__file__).parents[3] / "toolcall_lib/tests/golden/models"

SHAPE = dict(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    bos_token_id=None,
    eos_token_id=None,
    pad_token_id=None,
)

# With theta 100 and head_dim 8 the wavelengths are 6.3, 19.9, 62.8 and 198.7 tokens: one is kept (below
# original / high = 8), one is blended (below original / low = 32), and two are stretched by the factor.
LLAMA3_ROPE = dict(
    rope_type="llama3",
    rope_theta=100.0,
    factor=4.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
QWEN_ROPE = dict(rope_type="default", rope_theta=1_000_000.0)
LLAMA_ROPE = dict(rope_type="default", rope_theta=10_000.0)

MODELS = {
    "qwen3": ("qwen3", dict(head_dim=16, tie_word_embeddings=True, rope_parameters=QWEN_ROPE)),
    "qwen2": ("qwen2", dict(tie_word_embeddings=False, rope_parameters=LLAMA_ROPE)),
    "llama": ("llama", dict(rms_norm_eps=1e-5, tie_word_embeddings=True, rope_parameters=LLAMA3_ROPE)),
    "llama_untied": ("llama", dict(rms_norm_eps=1e-5, tie_word_embeddings=False, rope_parameters=LLAMA_ROPE)),
}

STEPS, WARMUP_STEPS, LEARNING_RATE, WEIGHT_DECAY, MAX_GRAD_NORM = 10, 2, 5e-3, 0.1, 1.0
BETAS, EPSILON = (0.9, 0.999), 1e-8


def main():
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name, (model_type, settings) in MODELS.items():
        torch.manual_seed(SEED)
        config = AutoConfig.for_model(model_type, **SHAPE, **settings)
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        randomize(model)
        write(FOLDER / name, model)


@torch.no_grad()
def randomize(model: PreTrainedModel):
    """Weights that make every part matter: norms are not 1, biases are not 0, attention is not flat."""
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.copy_(1 + 0.2 * torch.randn_like(weight))
        else:
            weight.copy_(0.2 * torch.randn_like(weight))


def make_sequences() -> list[dict]:
    """Six ragged sequences: branches of one prefix, an identical pair, a prefix of another, an unrelated one."""
    ids = torch.randint(0, SHAPE["vocab_size"], (42,)).tolist()
    prefix, long, short, side, stranger = ids[:12], ids[12:24], ids[24:30], ids[30:37], ids[37:]
    return [
        sequence(prefix + long, range(16, 24)),
        sequence(prefix + short, range(13, 18)),
        sequence(prefix + short, range(13, 18)),  # identical to the one before
        sequence((prefix + long)[:18], range(10, 18)),  # a prefix of the first; more of it is trained
        sequence(prefix[:6] + side, [2, 6, 7, 11]),  # leaves the prefix early; its targets have gaps
        sequence(stranger, range(1, 5)),  # shares nothing
    ]


def sequence(ids: list[int], targets) -> dict:
    return {"ids": ids, "trained": [int(i in targets) for i in range(len(ids))]}


def write(folder: Path, model: PreTrainedModel):
    model.save_pretrained(folder)
    sequences = make_sequences()
    loss, correct, trained_tokens = mean_loss(model, sequences)
    loss.backward()
    reference = {
        "made_with": f"torch {torch.__version__}, transformers {transformers.__version__}, seed {SEED}",
        "sequences": sequences,
        "trained_tokens": trained_tokens,
        "loss": loss.item(),
        "correct": correct,
        "grad_norm": math.sqrt(sum(w.grad.double().square().sum().item() for w in model.parameters())),
        "generation": [greedy(model, sequences[0]["ids"][:10]), greedy(model, sequences[5]["ids"])],
    }
    tensors = {f"logits.{i}": logits(model, sequences[i]["ids"]).detach() for i in range(2)}
    tensors |= {f"grad.{name}": weight.grad.clone() for name, weight in model.named_parameters()}
    reference["training"] = train(model, sequences)
    tensors |= {f"final.{name}": weight.detach() for name, weight in model.named_parameters()}
    save_file(tensors, folder / "reference.safetensors")
    (folder / "reference.json").write_text(dump(reference))


def logits(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    """Logits of one sequence, [tokens, vocabulary]."""
    return model(torch.tensor([ids])).logits[0]


def mean_loss(model: PreTrainedModel, sequences: list[dict]) -> tuple[torch.Tensor, int, int]:
    """Mean negative log likelihood of the targets, the number of them that rank first, and the number of all."""
    total, correct, count = 0.0, 0, 0
    for row in sequences:
        trained = torch.tensor(row["trained"][1:], dtype=torch.bool)
        predictions, targets = logits(model, row["ids"])[:-1][trained], torch.tensor(row["ids"][1:])[trained]
        total = total + torch.nn.functional.cross_entropy(predictions, targets, reduction="sum")
        correct += (predictions.argmax(-1) == targets).sum().item()
        count += len(targets)
    return total / count, correct, count


def train(model: PreTrainedModel, sequences: list[dict]) -> dict:
    decayed = set(Trainer.get_decay_parameter_names(None, model))
    named = {n: w for n, w in model.named_parameters() if w.requires_grad}
    groups = [
        {"params": [w for n, w in named.items() if n in decayed], "weight_decay": WEIGHT_DECAY},
        {"params": [w for n, w in named.items() if n not in decayed], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, eps=EPSILON)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP_STEPS, STEPS)
    log = dict(
        steps=STEPS,
        warmup_steps=WARMUP_STEPS,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        max_grad_norm=MAX_GRAD_NORM,
        beta1=BETAS[0],
        beta2=BETAS[1],
        epsilon=EPSILON,
        decayed=[n for n in named if n in decayed],
        losses=[],
        correct=[],
        grad_norms=[],
        learning_rates=[],
    )
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss, correct, _ = mean_loss(model, sequences)
        loss.backward()
        log["losses"].append(loss.item())
        log["correct"].append(correct)
        log["grad_norms"].append(torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM).item())
        log["learning_rates"].append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return log


@torch.no_grad()
def greedy(model: PreTrainedModel, prompt: list[int], count: int = 12) -> dict:
    """The most likely continuation; refuses a prompt whose choice depends on rounding."""
    ids = list(prompt)
    for _ in range(count):
        best = logits(model, ids)[-1].topk(2)
        assert best.values[0] - best.values[1] > 1e-3, "two tokens are equally likely; use another seed"
        ids.append(best.indices[0].item())
    return {"prompt": prompt, "tokens": ids[len(prompt) :]}


def dump(reference: dict) -> str:
    """JSON with one line per list of numbers."""
    text = json.dumps(reference, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda numbers: " ".join(numbers.group().split()), text) + "\n"


if __name__ == "__main__":
    main()
