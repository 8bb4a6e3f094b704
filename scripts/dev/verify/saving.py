"""Kills training runs, and cuts the power under them, at random moments; then resumes them and compares the results with those of an
undisturbed run. Called by scripts/dev/verify_saving.sh.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SETTINGS = {
    "max_steps": 24,
    "per_device_train_batch_size": 2,
    "save_steps": 4,
    "save_total_limit": 2,
    "group_by_prefix": 1,
}
# files that contain times
TIMED = {"train_report.json", "trainer_state.json", "toolcall.json"}
# a file that a user may have in the folder
FOREIGN = {"notes/a.txt": b"mine", ".DS_Store": b"\0\1", "log.txt": b"a log"}
IMAGE_BYTES = 96 << 20


def arguments():
    parser = argparse.ArgumentParser()
    for name in ["program", "model", "data", "work"]:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


class Runs:
    """Runs of one command in given folders."""

    def __init__(self, given):
        self.given = given
        self.config = given.work / "config.json"
        self.config.write_text(json.dumps(SETTINGS))

    def start(self, out):
        """Starts the run, or resumes it from its checkpoints."""
        command = [self.given.program, "train", "--model", self.given.model, "--data", self.given.data]
        command += ["--config", self.config, "--out", out]
        if any(out.glob("checkpoint-*")):
            command += ["--resume", out]
        environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True)

    def finish(self, out):
        run = self.start(out)
        said, _ = run.communicate()
        return run.returncode, said


def contents(folder):
    """A checksum of every file, except the ones that contain times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[name] = "folder"
        else:
            found[name] = "timed" if path.name in TIMED else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def put_foreign(out):
    for name, content in FOREIGN.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def problem(out, want, code, said):
    """The problem with a resumed run, if any."""
    if code != 0:
        return f"exit code {code}: {said}"
    got = contents(out)
    if got != want:
        differing = [name for name in sorted(got.keys() | want.keys()) if got.get(name) != want.get(name)]
        return f"other files: {', '.join(differing)}"
    return None


def kill(runs, want, seconds, count):
    """Kills runs `count` times, some of them more than once, and resumes them. Returns the problems."""
    wrong, killed, tries = [], 0, 0
    while killed < count:
        tries += 1
        out = runs.given.work / "killed"
        shutil.rmtree(out, ignore_errors=True)
        put_foreign(out)
        for _ in range(random.choice([1, 1, 2, 3])):
            run = runs.start(out)
            time.sleep(random.uniform(0, 1.05 * seconds))
            run.kill()
            said, _ = run.communicate()
            killed += run.returncode == -signal.SIGKILL
            if any((out / name).read_bytes() != content for name, content in FOREIGN.items()):
                wrong.append("a file of the user was changed")
            if run.returncode not in (0, -signal.SIGKILL):
                wrong.append(f"before a kill: {said}")
        found = problem(out, want, *runs.finish(out))
        if found:
            wrong.append(found)
    print(f"{killed} kills in {tries} runs: {tries - len(wrong)} ended as if undisturbed, {len(wrong)} did not", flush=True)
    return wrong


def shell(*command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def cut(runs, want, seconds, count):
    """Cuts the power under `count` runs: the disk has only what the file system had written to it by then."""
    work, wrong, early = runs.given.work, [], 0
    image, left, mounted = work / "disk.img", work / "left.img", work / "mounted"
    mounted.mkdir(exist_ok=True)
    for _ in range(count):
        image.write_bytes(b"")
        os.truncate(image, IMAGE_BYTES)
        shell("mkfs.ext4", "-q", "-F", image)
        shell("mount", "-o", "loop", image, mounted)
        try:
            put_foreign(mounted / "out")
            os.sync()
            run = runs.start(mounted / "out")
            # also cut a run that has ended: everything that it reported as saved must be there
            time.sleep(random.uniform(0, 1.3 * seconds))
            early += run.poll() is None
            run.send_signal(signal.SIGSTOP)
            shutil.copyfile(image, left)
            run.kill()
            said, _ = run.communicate()
        finally:
            shell("umount", mounted)
        shell("mount", "-o", "loop", left, mounted)
        try:
            out = mounted / "out"
            said_saved = "saved " in said
            # the removal of the draft may not have reached the disk; the next program that opens the folder removes it
            found = {name: content for name, content in contents(out).items() if name.split("/")[0] != ".saving"}
            if said_saved and found != want:
                wrong.append("it was saved, but is missing after the cut")
            if any((out / name).read_bytes() != content for name, content in FOREIGN.items()):
                wrong.append("a file of the user was changed")
            found = problem(out, want, *runs.finish(out))
            if found:
                wrong.append(found)
        finally:
            shell("umount", mounted)
    kinds = f"{early} during the run, {count - early} after it"
    print(f"{count} power cuts ({kinds}): {count - len(wrong)} ended as if undisturbed, {len(wrong)} did not", flush=True)
    return wrong


def main():
    given = arguments()
    random.seed(given.seed)
    runs = Runs(given)
    reference = given.work / "undisturbed"
    put_foreign(reference)
    begun = time.monotonic()
    code, said = runs.finish(reference)
    seconds = time.monotonic() - begun
    if code != 0:
        sys.exit(f"error: the undisturbed run: {said}")
    want = contents(reference)
    print(f"an undisturbed run: {SETTINGS['max_steps']} steps, {len(want)} files and folders, {seconds:.2f} s", flush=True)
    wrong = kill(runs, want, seconds, given.kills)
    if os.geteuid() == 0 and all(shutil.which(program) for program in ["losetup", "mkfs.ext4"]):
        wrong += cut(runs, want, seconds, given.cuts)
    elif given.cuts:
        print("SKIPPED: the power cuts; they need root, losetup and mkfs.ext4")
    for what in wrong:
        print(f"wrong: {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
