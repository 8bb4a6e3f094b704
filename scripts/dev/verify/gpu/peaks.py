"""Measures the peaks of the card: products of large matrices in bf16, and copies of its memory.

    python peaks.py --results results.jsonl --stage a [--device cpu]
"""

import argparse
import time
from pathlib import Path
from statistics import median

import torch

from results import Results


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--results", type=Path, required=True)
    options.add_argument("--stage", required=True)
    options.add_argument("--device", default="cuda")
    arguments = options.parse_args()
    device, small = arguments.device, arguments.device == "cpu"
    size, count = (256, 1 << 20) if small else (8192, 1 << 30)
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = median(seconds(lambda: a @ b, device) for _ in range(10))
    x = torch.ones(count, device=device)
    y = torch.empty_like(x)
    copy = median(seconds(lambda: y.copy_(x), device) for _ in range(10))
    name = "the host" if small else torch.cuda.get_device_name()
    Results(arguments.results, arguments.stage).add(
        "peaks",
        card=name,
        torch=torch.__version__,
        bf16_flops=2 * size**3 / product,
        bytes_per_second=2 * x.nbytes / copy,
    )


def seconds(work, device: str) -> float:
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    work()
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
