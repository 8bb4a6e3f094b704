"""Tests of how the benchmarks count work."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
from work import Shape, Tree, tree  # noqa: E402


def sequence(ids: list[int], *trained: int) -> dict:
    return {"ids": ids, "trained": [int(i in trained) for i in range(len(ids))]}


class Work(unittest.TestCase):
    def test_a_shared_prefix_and_a_repeated_sequence_count_once(self):
        rows = [sequence([1, 2, 3, 4], 2, 3), sequence([1, 2, 5], 2), sequence([1, 2, 3, 4], 3), sequence([7])]
        # nodes at depths 1 2 3 4, 3 and 1; the second and the third predict
        self.assertEqual(tree(rows), Tree(tokens=6, target_rows=2, attended=14))

    def test_the_work_of_a_step_is_that_of_its_products(self):
        config = {
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 3,
            "intermediate_size": 16,
            "vocab_size": 100,
        }
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(json.dumps(config))
            shape = Shape.of(Path(folder))
        block = 8 * 12 + 2 * 8 * 6 + 12 * 8 + 3 * 8 * 16  # q, k and v, output, MLP
        scores_and_values = 2 * 12
        forward = 2 * (2 * block * 6 + 100 * 8 * 2 + 2 * scores_and_values * 14)
        self.assertEqual(shape.flop(Tree(tokens=6, target_rows=2, attended=14)), 3 * forward)


if __name__ == "__main__":
    unittest.main()
