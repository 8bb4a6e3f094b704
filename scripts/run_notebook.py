"""Runs a notebook without a browser; run_notebook.sh describes its usage.

evcxr reports success even if a cell panicked or `?` met an `Err`. So TOOLCALL_HEADLESS gives it a configuration
(kernel/headless) in which both end the process of the cells, and the reply says "error".
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat

from kernel import SPEC, Kernel, append, failure
from dev.lint_notebooks import machine_paths

ROOT = Path(__file__).resolve().parent.parent
LANGUAGE = {"name": "rust", "file_extension": ".rs", "mimetype": "text/rust"}
INDENT = "      "


def main():
    arguments = parse_arguments()
    path, out = arguments.notebook, arguments.out or ROOT / "out" / arguments.notebook.name
    notebook = nbformat.read(path, as_version=4)
    environment = {"TOOLCALL_HEADLESS": "1", **model_environment(arguments.model, path.resolve().parent)}
    begin = time.monotonic()
    print(f"{path}: starting the kernel", flush=True)
    with Kernel(path.resolve().parent, **environment) as kernel:
        presses = stop_on_interrupt(kernel)
        try:
            code = run_cells(kernel, notebook, path, presses)
        finally:
            normalize(notebook)
            write(notebook, out)
    print(f"{path}: {ENDINGS[code]} after {time.monotonic() - begin:.0f} s; written to {out}")
    for line in machine_paths(notebook):
        print(f"warning: a path of this machine in {line}", file=sys.stderr)
    return code


ENDINGS = {0: "all cells ran", 1: "failed", 130: "interrupted"}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="run_notebook.sh")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--model", default=os.environ.get("TOOLCALL_MODEL"))
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def model_environment(model, folder):
    """TOOLCALL_MODEL for cells that run in `folder`. Without a model, kernel.sh uses the default model."""
    if not model:
        subprocess.run([ROOT / "scripts" / "setup.sh", "model"], check=True)
        return {}
    if Path(model).exists():
        return {"TOOLCALL_MODEL": os.path.relpath(model, folder)}
    if re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        return {"TOOLCALL_MODEL": model}
    sys.exit(f"error: --model {model}: neither a folder nor a file here, nor a hub id such as Qwen/Qwen3-0.6B")


def stop_on_interrupt(kernel):
    """The first Ctrl-C asks the running cell to end, the second kills it. Returns the list of presses."""
    presses = []

    def press(*_):
        presses.append(time.monotonic())
        if len(presses) == 1:
            print("interrupted: waiting for the cell to end; once more to kill it", file=sys.stderr, flush=True)
            kernel.interrupt()
        else:
            kernel.kill()

    signal.signal(signal.SIGINT, press)
    return presses


def run_cells(kernel, notebook, path, presses):
    """Runs the cells in order until one fails or the user wants to stop. Returns the exit code."""
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code_cells:
        cell.outputs, cell.execution_count = [], None
    number = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            print("".join(f"\n{line}\n" for line in cell.source.splitlines() if line.startswith("#")), end="")
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        number += 1
        first, *rest = cell.source.strip().splitlines()
        print(f"[{number}/{len(code_cells)}] {first}{' …' if rest else ''}", flush=True)
        cell.execution_count = number
        kernel.execute(cell.source, lambda output: (show(output), append(cell.outputs, output)))
        if presses:
            return 130
        if reason := failure(cell.outputs):
            source = "\n".join(INDENT + line for line in cell.source.splitlines())
            print(f"\nerror: cell {number} of {path} failed:\n\n{source}\n\n{reason}\n", file=sys.stderr)
            return 1
    return 0


def show(output):
    """Prints an output as far as a terminal can show it."""
    text = output.get("text") or output.get("data", {}).get("text/plain")
    if text is None and output.output_type != "error":
        text = "".join(f"<{kind}, {len(content)} characters>" for kind, content in output.data.items())
    for line in (text or "").splitlines():
        print(INDENT + line, flush=True)


def normalize(notebook):
    """Removes everything that depends on the machine or the run: cells are counted from 1, other metadata is dropped."""
    notebook.nbformat_minor = 5
    notebook.metadata = {"kernelspec": SPEC, "language_info": LANGUAGE}
    for number, cell in enumerate(notebook.cells, start=1):
        cell.setdefault("id", f"cell-{number}")
        cell.metadata = {}
        for output in cell.get("outputs", []):
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count


def write(notebook, out):
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    nbformat.write(notebook, part)
    part.replace(out)


if __name__ == "__main__":
    sys.exit(main())
