"""Runs the cells of a notebook in a kernel, one after the other."""

import copy
import os
import queue
import re
import signal

import nbformat
from jupyter_client import KernelManager

SPEC = {"name": "rust-toolcall", "display_name": "Rust (toolcall)", "language": "rust"}
LATE = 0.3  # seconds; stderr of a process that ended may come after the reply


class Kernel:
    """A kernel, started in `folder` as Jupyter does it. The cells get `env`."""

    def __init__(self, folder, **env):
        self.manager = KernelManager(kernel_name=SPEC["name"])
        self.manager.start_kernel(cwd=str(folder), env={**os.environ, **env})
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=300)
        except RuntimeError as error:
            self.manager.shutdown_kernel(now=True)
            raise SystemExit(f"error: the kernel did not start ({error}); does scripts/setup.sh succeed?")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.manager.shutdown_kernel()
        self.client.stop_channels()

    def interrupt(self):
        """Asks the running cell to end. May be called in a signal handler, where the manager's own method may not."""
        os.killpg(self.manager.provisioner.pgid, signal.SIGINT)

    def kill(self):
        os.killpg(self.manager.provisioner.pgid, signal.SIGKILL)

    def execute(self, source, on_output=lambda output: None):
        """Runs a cell. `on_output` gets its outputs as they come; they are returned as a notebook stores them."""
        outputs = []
        for message in self._messages(self.client.execute(source, allow_stdin=False)):
            if message["msg_type"] in ("stream", "execute_result", "display_data", "error"):
                output = nbformat.v4.output_from_msg(message)
                on_output(output)
                append(outputs, output)
        return outputs

    def _messages(self, request):
        """The messages of the kernel until the cell has ended."""
        failed = ended = False
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=LATE if ended else 1)
            except queue.Empty:
                if ended:
                    return
                if not self.manager.is_alive():
                    reason = "the kernel has ended"
                    yield {"msg_type": "error", "content": {"ename": "Error", "evalue": reason, "traceback": [reason]}}
                    return
                continue
            yield message
            failed = failed or message["msg_type"] == "error"
            idle = message["content"].get("execution_state") == "idle"
            if idle and message["parent_header"].get("msg_id") == request:
                if not failed:
                    return
                ended = True


def append(outputs, output):
    """Joins the lines of a stream into one output."""
    last = outputs[-1] if outputs else None
    if last and output.output_type == last.output_type == "stream" and output.name == last.name:
        last.text += output.text
    else:
        outputs.append(copy.deepcopy(output))  # it grows, and others may have it too


def stream(outputs, name):
    """Everything that was written to `stdout` or `stderr`."""
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == name)


def failure(outputs):
    """The reason why a cell failed, or None. A `Result` at the end of a cell is shown, not raised, so this looks for an `Err`."""
    for output in outputs:
        if output.output_type == "error":
            reason = stream(outputs, "stderr") + "\n".join(output.traceback)
            return re.sub(r"\x1b\[[\d;]*m", "", reason).strip()  # without colours
        if output.output_type == "execute_result" and output.data.get("text/plain", "").startswith("Err("):
            return output.data["text/plain"]
    return None
