"""Trains with trackers, and reads what they received with their own packages. Called by scripts/dev/verify_trackers.sh."""

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers.trainer_callback import TrainerState
from wandb_server import Server

KEY = "0123456789abcdef" * 2 + "01234567"
SETTINGS = {"max_steps": 40, "per_device_train_batch_size": 2, "logging_steps": 4, "eval_steps": 10, "save_steps": 20}
SETTINGS |= {"max_predict_samples": 4, "generation_max_new_tokens": 8, "run_name": "verify"}


def arguments():
    parser = argparse.ArgumentParser()
    for name in ["program", "model", "data", "work"]:
        parser.add_argument(f"--{name}", type=Path, required=True)
    return parser.parse_args()


def train(given, name, environment, settings=(), more=()):
    """Trains in its own folder, and returns it."""
    folder = (given.work / name).resolve()
    folder.mkdir(exist_ok=True)
    config = folder / "config.json"
    config.write_text(json.dumps({**SETTINGS, **dict(settings)}))
    command = [given.program.resolve(), "train", "--model", given.model.resolve(), "--data", given.data.resolve()]
    command += ["--validation", given.data.resolve(), "--config", config, "--out", folder / "out", *more]
    rest = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    run = subprocess.run(command, cwd=folder, env=rest | environment, capture_output=True, text=True)
    said = run.stdout + run.stderr
    (folder / "said.txt").write_text(said)
    assert run.returncode == 0, said
    assert KEY not in said, "the key is shown"
    return folder


def expected(folder):
    """The expected loss by step (the mean of the steps since the last entry), and validation loss by step."""
    steps = json.loads((folder / "out/train_report.json").read_text())["steps"]
    loss, since = {}, []
    for step in steps:
        since.append(step["loss"])
        if step["step"] == 1 or step["step"] % SETTINGS["logging_steps"] == 0:
            loss[step["step"]] = sum(since) / len(since)
            since = []
    return loss, {step["step"]: step["eval_loss"] for step in steps if step["eval_loss"] is not None}


def check(what, got, wanted):
    same = got.keys() == wanted.keys() and all(math.isclose(got[step], wanted[step], rel_tol=1e-6) for step in wanted)
    assert same, f"{what}: {got}, expected {wanted}"
    print(f"  {what}: {len(got)} points")


def plot(work, name, curves):
    figure, axes = pyplot.subplots()
    for label, points in curves.items():
        axes.plot(points.keys(), points.values(), label=label)
    axes.set(title=name, xlabel="step", ylabel="loss")
    axes.legend()
    figure.savefig(work / f"{name}.png")


def tensorboard(given, folder):
    events = EventAccumulator(str(folder / "out/runs/verify"), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    curves = {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in ["train/loss", "eval/loss"]}
    loss, evaluated = expected(folder)
    check("tensorboard train/loss", curves["train/loss"], loss)
    check("tensorboard eval/loss", curves["eval/loss"], evaluated)
    text = events.Tensors("args/text_summary")[0].tensor_proto.string_val[0]
    assert json.loads(text)["max_steps"] == SETTINGS["max_steps"]
    tags = events.Tags()["scalars"]
    missing = {"train/grad_norm", "train/learning_rate", "train/epoch", "eval/exact", "train/train_loss"} - set(tags)
    assert not missing, missing
    plot(given.work, "tensorboard", curves)


def wandb(given, folder, server, name, run_id):
    run = server.runs[run_id]
    rows = [json.loads(line) for line in run["files"]["wandb-history.jsonl"]]
    curves = {tag: {row["_step"]: row[tag] for row in rows if tag in row} for tag in ["train/loss", "eval/loss"]}
    loss, evaluated = expected(folder)
    check(f"wandb {name} train/loss", curves["train/loss"], loss)
    check(f"wandb {name} eval/loss", curves["eval/loss"], evaluated)
    assert run["name"] == "verify" and run["end"] == 0, run["end"]
    assert run["config"]["max_steps"]["value"] == SETTINGS["max_steps"]
    assert any(metric.get("1") == "train/global_step" for metric in run["config"]["_wandb"]["value"]["m"])
    summary = json.loads(run["files"]["wandb-summary.json"][-1])
    assert summary["train_loss"] > 0 and summary["train/global_step"] == SETTINGS["max_steps"], summary
    table = json.loads(run["stored"][summary["evaluations"]["path"]])
    assert table["columns"][:3] == ["step", "epoch", "eval_loss"] and len(table["data"]) == len(evaluated)
    plot(given.work, f"wandb_{name}", curves)


def trainer_state(given, folder):
    loss, evaluated = expected(folder)
    for place, steps in [("out", 40), ("out/checkpoint-20", 20)]:
        state = TrainerState.load_from_json(str(folder / place / "trainer_state.json"))
        assert state.global_step == steps and state.max_steps == 40, state
        curves = {
            name: {entry["step"]: entry[name] for entry in state.log_history if name in entry}
            for name in ["loss", "eval_loss"]
        }
        check(f"transformers {place} loss", curves["loss"], {step: value for step, value in loss.items() if step <= steps})
        check(f"transformers {place} eval_loss", curves["eval_loss"], {step: value for step, value in evaluated.items() if step <= steps})
    state = TrainerState.load_from_json(str(folder / "out/trainer_state.json"))
    plot(given.work, "trainer_state", {
        name: {entry["step"]: entry[name] for entry in state.log_history if name in entry} for name in ["loss", "eval_loss"]
    })


def main():
    given = arguments()
    server = Server()
    online = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url}

    print("== offline, with TensorBoard")
    folder = train(given, "offline", {"WANDB_MODE": "offline", "WANDB_RUN_ID": "offline1"}, {"report_to": "all"})
    tensorboard(given, folder)
    trainer_state(given, folder)
    [run] = (folder / "wandb").glob("offline-run-*")
    synced = subprocess.run(  # it leaves files where it runs
        [Path(sys.executable).parent / "wandb", "sync", run.resolve()], env=os.environ | online, cwd=folder, capture_output=True, text=True
    )
    assert synced.returncode == 0, synced.stdout + synced.stderr
    wandb(given, folder, server, "offline", "offline1")

    print("== resumes from a checkpoint: no point is missing or duplicate")
    again = train(given, "offline", {}, {"report_to": "tensorboard"}, ["--resume", folder / "out/checkpoint-20"])
    tensorboard(given, again)
    trainer_state(given, again)

    print("== online, by the key alone")
    folder = train(given, "online", {**online, "WANDB_RUN_ID": "online1"})
    wandb(given, folder, server, "online", "online1")
    server.close()
    print(f"verify: all is well; the plots are {given.work}/*.png")


if __name__ == "__main__":
    main()
