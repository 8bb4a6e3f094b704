"""Measures how fast PyTorch multiplies large matrices on all cores, in GFLOP/s; prints one line of JSON.

The best of many products of 2048 x 2048 matrices, `x @ w.T` as in a forward pass, like our `gemm_peak`.
"""

import json
import time

import torch

SIZE, SECONDS = 2048, 2.0


@torch.no_grad()
def peak(dtype: torch.dtype) -> float:
    x, w, y = (torch.randn(SIZE, SIZE).to(dtype) for _ in range(3))
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        product = time.perf_counter()
        torch.matmul(x, w.T, out=y)
        best = min(best, time.perf_counter() - product)
    return 2 * SIZE**3 / best / 1e9


print(json.dumps({"f32": peak(torch.float32), "bf16": peak(torch.bfloat16)}))
