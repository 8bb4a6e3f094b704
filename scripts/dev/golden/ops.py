"""Records what PyTorch computes for the ops of the decoder, forward and backward.

    pip install -r scripts/dev/golden/requirements.txt
    python scripts/dev/golden/ops.py               # writes toolcall_lib/tests/golden/ops/<op>.safetensors

Inputs are f32; everything but RoPE is computed in f64 and rounded to f32 at the end: a difference is ours.
`grad.<input>` is the gradient of `sum(out * grad.out)` (of `loss` in cross_entropy). Integers are i64.

    rms_norm       x [5, 12], weight [12], eps [1] -> out; row 2 of x is zero and row 3 small,
                   eps is large enough to matter
    qk_norm        x [5 tokens, 3 heads, 8], weight [8], eps [1] -> out: the same norm, over each head
    rope           x [6 tokens, 2 heads, 8], positions [6], rope_theta [1] -> inv_freq [4], out: element i of
                   a head is turned with element i + 4
    rope_llama3    the same with factor, low_freq_factor, high_freq_factor and
                   original_max_position_embeddings [1]
    swiglu         gate, up [5, 12] -> out = silu(gate) * up
    cross_entropy  hidden [6 rows, 12], projection [vocabulary of 37, 12], and targets as three lists: rows,
                   ids, weights [9] -> loss [1] = sum of weight * -log p(id), correct [1] = sum of the
                   weights of targets that rank first; row 2 has no target, row 5 has large logits
    attention      q [45 tokens, 4 heads, 8], k, v [45, 2 heads, 8], segments [9, 4] with columns start, len,
                   parent (-1: none), position -> out [45, 4, 8]: softmax(q k / sqrt(8)) v over a token's
                   ancestors and itself
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import log_softmax, rms_norm, scaled_dot_product_attention, silu
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

SEED = 20
FOLDER = Path(__file__).parents[3] / "toolcall_lib/tests/golden/ops"


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for op in [normalization, rotation, gating, loss, attention]:
        torch.manual_seed(SEED)
        op()


def normalization():
    rows = torch.randn(5, 12)
    rows[2] = 0
    rows[3] *= 0.1
    eps = 0.01

    def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, weight.shape, weight, eps)

    for name, x in [("rms_norm", rows), ("qk_norm", torch.randn(5, 3, 8))]:
        weight = 1 + 0.2 * torch.randn(x.shape[-1])
        write(name, dict(x=x, weight=weight), norm, eps=torch.tensor([eps]))


def rotation():
    llama3 = dict(factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
    rotate("rope", dict(rope_type="default", rope_theta=10_000.0))
    rotate("rope_llama3", dict(rope_type="llama3", rope_theta=100.0, **llama3))


def rotate(name: str, rope: dict):
    embedding = LlamaRotaryEmbedding(LlamaConfig(head_dim=8, rope_parameters=rope))
    positions = torch.tensor([0, 1, 2, 7, 40, 121])

    def turn(x: torch.Tensor) -> torch.Tensor:
        cos, sin = embedding(x, positions[None])
        return apply_rotary_pos_emb(x[None], x[None], cos, sin, unsqueeze_dim=2)[0][0]

    settings = {key: torch.tensor([value]) for key, value in rope.items() if key != "rope_type"}
    write(
        name, dict(x=torch.randn(6, 2, 8)), turn, positions=positions, **settings, inv_freq=embedding.inv_freq
    )


def gating():
    gate, up = 3 * torch.randn(5, 12), torch.randn(5, 12)
    write("swiglu", dict(gate=gate, up=up), lambda gate, up: silu(gate) * up)


def loss():
    hidden, projection = torch.randn(6, 12), 0.5 * torch.randn(37, 12)
    hidden[5] *= 10
    rows = torch.tensor([0, 0, 0, 1, 3, 3, 4, 5, 5])
    best = (hidden @ projection.T).argmax(-1)
    ids = torch.tensor([36, 4, 5, 0, 8, best[3], 1, 2, best[5]])
    weights = torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0, 2.0, 1.0, 1.0, 4.0])
    correct = weights[best[rows] == ids].sum()[None]

    def negative_log_likelihood(hidden: torch.Tensor, projection: torch.Tensor) -> torch.Tensor:
        log_p = log_softmax(hidden @ projection.T, -1)
        return -(weights * log_p[rows, ids]).sum()[None]

    inputs, targets = dict(hidden=hidden, projection=projection), dict(rows=rows, ids=ids, weights=weights)
    write("cross_entropy", inputs, negative_log_likelihood, out="loss", **targets, correct=correct)


def attention():
    #              start len parent position
    segments = [
        [0, 3, -1, 0],
        [3, 2, 0, 3],
        [5, 2, 1, 5],
        [7, 1, 1, 5],
        [8, 21, 0, 3],
        [29, 4, 4, 24],
        [33, 9, 4, 24],
        [42, 2, -1, 0],
        [44, 1, -1, 0],
    ]
    tokens, heads, kv_heads, width = 45, 4, 2, 8
    mask = ancestors(segments, tokens)

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        k, v = (x.repeat_interleave(heads // kv_heads, dim=1) for x in (k, v))
        q, k, v = (x.transpose(0, 1) for x in (q, k, v))
        return scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(0, 1)

    q = 2 * torch.randn(tokens, heads, width)
    k, v = torch.randn(2, tokens, kv_heads, width)
    write("attention", dict(q=q, k=k, v=v), attend, segments=torch.tensor(segments))


def ancestors(segments: list[list[int]], tokens: int) -> torch.Tensor:
    """[tokens, tokens], true where the row's token may attend to the column's: token by token, up the tree."""
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for start, length, parent, position in segments:
        above = torch.zeros(tokens, dtype=torch.bool)
        if parent >= 0:
            parent_start, parent_length, _, _ = segments[parent]
            above = mask[parent_start + parent_length - 1]
        assert position == above.sum()
        for token in range(start, start + length):
            mask[token] = above
            mask[token, token] = True
            above = mask[token]
    return mask


def write(op: str, inputs: dict[str, torch.Tensor], function, out: str = "out", **others: torch.Tensor):
    """Runs `function` on the inputs in f64, forward and backward, and saves inputs and results."""
    leaves = {name: tensor.double().requires_grad_() for name, tensor in inputs.items()}
    result = function(**leaves)
    grad = torch.ones(1) if out == "loss" else torch.randn(result.shape)
    result.backward(grad.to(result.dtype))
    tensors = inputs | others | {out: result.detach().float(), f"grad.{out}": grad}
    tensors |= {f"grad.{name}": leaf.grad.float() for name, leaf in leaves.items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, FOLDER / f"{op}.safetensors")


if __name__ == "__main__":
    main()
