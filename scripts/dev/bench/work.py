"""Counts the work of our training step: the floating-point operations of its matrix products.

A step runs the tree of its sequences: a prefix that several share is computed once. It counts the products of the
blocks and of attention for each token of the tree, and those of the output projection for each row with a target;
forward once, backward twice. Recomputation in the backward pass, norms, activation functions, softmax and
the optimizer are not counted.
"""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Tree:
    """Sizes of the tree of some sequences."""

    tokens: int = 0
    target_rows: int = 0
    attended: int = 0  # keys that each token attends to, summed over the tokens


def tree(sequences: list[dict]) -> Tree:
    """The tree of `[{"ids": [...], "trained": [...]}, ...]`."""
    children: list[dict[int, int]] = [{}]
    predicts: set[int] = set()
    size = Tree()
    for sequence in sequences:
        node = 0
        for depth, (token, trained) in enumerate(zip(sequence["ids"], sequence["trained"], strict=True)):
            if trained:
                predicts.add(node)
            if token not in children[node]:
                children[node][token] = len(children)
                children.append({})
                size.attended += depth + 1
            node = children[node][token]
    size.tokens = len(children) - 1
    size.target_rows = len(predicts)
    return size


@dataclass
class Shape:
    """The sizes of the model on which the work per token depends."""

    block_weights: int  # in all matrices of all blocks
    projection: int  # in the output projection
    query_width: int  # of all query heads of all layers

    @classmethod
    def of(cls, folder: Path) -> "Shape":
        """Reads `config.json` of a model folder that we wrote, which names every size."""
        config = json.loads((folder / "config.json").read_text())
        hidden, layers = config["hidden_size"], config["num_hidden_layers"]
        queries = config["num_attention_heads"] * config["head_dim"]
        keys = config["num_key_value_heads"] * config["head_dim"]
        block = hidden * (2 * queries + 2 * keys + 3 * config["intermediate_size"])
        return cls(layers * block, config["vocab_size"] * hidden, layers * queries)

    def flop(self, size: Tree) -> float:
        """Operations of a step; a multiplication and an addition are two."""
        multiplications = (
            self.block_weights * size.tokens
            + self.projection * size.target_rows
            + 2 * self.query_width * size.attended
        )
        return 6 * multiplications
