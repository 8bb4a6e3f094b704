"""Shared parts of the checks: the model as transformers loads it, our binary, and comparisons of values."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def parser(description: str) -> argparse.ArgumentParser:
    """A parser whose help is the docstring of the program."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def load(model: Path):
    """Model (f32) and tokenizer of a Hugging Face folder, or of a GGUF file with its weights dequantized."""
    if not model.exists():
        sys.exit(f"{model}: no such model")
    place, gguf = (model.parent, {"gguf_file": model.name}) if model.suffix == ".gguf" else (model, {})
    loaded = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **gguf)
    return loaded.eval(), AutoTokenizer.from_pretrained(place, **gguf)


def inspect(model: Path, data: Path, *arguments: str) -> list[dict]:
    """Each row of a data file as our library renders it; `TOOLCALL` is the path of our binary."""
    binary = os.environ.get("TOOLCALL", "toolcall")
    command = [binary, "inspect", "--model", model, "--data", data, "--json", *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [json.loads(line) for line in output.splitlines()]
    for row in rows:
        same(f"errors of row {row['row']}", row["errors"], [])
    return rows


def close(what: str, ours: torch.Tensor, theirs: torch.Tensor, tolerance: float):
    """Prints the largest difference and ends the program if it is too large."""
    if ours.shape != theirs.shape:
        sys.exit(f"FAILED: {what}: ours has shape {list(ours.shape)}, the reference {list(theirs.shape)}")
    difference = (ours - theirs).abs().max().item()
    print(f"{what}: largest difference {difference:.2e} (allowed {tolerance:.0e})")
    if not difference <= tolerance:
        sys.exit(f"FAILED: {what}")


def same(what: str, ours, theirs):
    """Ends the program if two values are not equal."""
    if ours != theirs:
        sys.exit(f"FAILED: {what}\n  ours:      {ours!r}\n  reference: {theirs!r}")
