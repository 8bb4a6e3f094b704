"""Pushes a model with toolcall and with the hub's own client, and compares. Called by scripts/dev/verify_hub.sh."""

import argparse
import base64
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from hub_server import Server
from huggingface_hub import HfApi, snapshot_download

REPO = "me/tuned"
TOKEN = "hf_" + "secret" * 5
# Requests that only toolcall sends: it looks whether the repository is private, and which commit it has.
OURS = [("GET", f"/api/models/{REPO}/revision/main")]


def arguments():
    parser = argparse.ArgumentParser()
    for name in ["program", "model", "work"]:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--chunk", type=int, help="length of the parts in which large files are sent")
    return parser.parse_args()


def started(given, server, *more, token=TOKEN):
    environment = os.environ | {"HF_ENDPOINT": server.url, "HF_TOKEN": token, "HF_HOME": str(given.work / "home")}
    command = [given.program.resolve(), "push", given.model, REPO, *more]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def push(given, server, *more, token=TOKEN, code=0):
    run = started(given, server, *more, token=token)
    said, _ = run.communicate()
    assert run.returncode == code, said
    assert (not token or token not in said) and "X-Signature" not in said, f"a secret is shown: {said}"
    return said


def shape(value):
    """A value in which everything that may differ is replaced by its type."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(inner), sort_keys=True) for inner in value})
    return type(value).__name__


def known(requests):
    """Method, path, headers that matter and shape of each different request."""
    found = {}
    for request in requests:
        key = (request["method"], request["path"].split(".")[0] if request["storage"] else request["path"])
        headers = {name: request["headers"].get(name) for name in ["content-type", "accept", "authorization"]}
        if headers["accept"] == "*/*":  # a client that takes anything says so or does not
            headers["accept"] = None
        if key[1] == "/api/complete_multipart" or key[1].endswith("/verify"):
            headers["accept"] = headers["content-type"] = None  # any type will do
        body = request["body"]
        if key[1] == "/api/repos/create" and "visibility" in body:
            body = {name: value for name, value in body.items() if name != "visibility"}
            body["private"] = request["body"]["visibility"] == "private"  # the newer name
        found[key] = {"headers": headers, "shape": shape(body)}
    return found


def said(requests, part):
    """The lists in the bodies of requests whose path contains a string, sorted."""
    lines = []
    for request in requests:
        if part in request["path"] and request["body"]:
            body = request["body"]
            lines += body if isinstance(body, list) else body.get("files") or body.get("objects") or [body]
    return sorted((json.dumps(line, sort_keys=True) for line in lines if line.get("key") != "header"))


def compare(ours, theirs):
    ours_known, theirs_known = known(ours), known(theirs)
    for key in OURS:
        ours_known.pop(key), theirs_known.pop(key, None)
    for key in sorted(ours_known.keys() | theirs_known.keys()):
        a, b = ours_known.get(key), theirs_known.get(key)
        assert a == b, f"{key}:\n  toolcall: {a}\n  huggingface_hub: {b}"
        print("  the same:", *key)
    for part in ["/preupload/", "/objects/batch", "/objects/verify", "/commit/"]:
        assert said(ours, part) == said(theirs, part), f"{part}: {said(ours, part)[:3]} {said(theirs, part)[:3]}"
    print("  the same files, checksums, lengths, samples and lines of the commit")


def check_bytes(folder, model, names):
    for name in names:
        assert (folder / name).read_bytes() == (model / name).read_bytes(), name
    print(f"  {len(names)} files, {sum((folder / name).stat().st_size for name in names) / 1e6:.1f} MB, byte for byte")


def main():
    given = arguments()
    servers = []

    def server():
        servers.append(Server(given.work / f"server{len(servers)}", TOKEN, given.chunk))
        return servers[-1]

    print("== toolcall, then huggingface_hub, into an empty hub each")
    ours, theirs = server(), server()
    print("  " + push(given, ours).replace("\n", "\n  ").strip())
    assert ours.private is True
    api = HfApi(endpoint=theirs.url, token=TOKEN)
    api.create_repo(REPO, private=True, exist_ok=True, repo_type="model")
    api.upload_folder(repo_id=REPO, folder_path=given.model, allow_patterns=list(ours.files))
    compare(ours.requests, theirs.requests)
    assert all("authorization" not in request["headers"] for request in ours.requests if request["storage"])

    print("== pushed by toolcall, downloaded by huggingface_hub")
    names = list(ours.files)
    folder = snapshot_download(REPO, endpoint=ours.url, token=TOKEN, cache_dir=given.work / "cache")
    check_bytes(Path(folder), given.model, names)

    print("== again: nothing is sent")
    ours.requests.clear()
    push(given, ours)
    assert len(ours.commits) == 1 and not any(request["storage"] for request in ours.requests)

    print("== pushed by huggingface_hub, then by toolcall: nothing is sent")
    theirs.requests.clear()
    push(given, theirs)
    assert len(theirs.commits) == 1 and not any(request["storage"] for request in theirs.requests)

    print("== connections that break off three times")
    broken = server()
    broken.cuts = 3
    print("  " + push(given, broken).replace("\n", "\n  ").strip())
    assert broken.files == ours.files

    print("== a push that is stopped half way, and one that is killed, then one that goes through")
    for stop, code in [(signal.SIGINT, 130), (signal.SIGKILL, -9)]:
        stopped = server()
        stopped.delay = 1
        run = started(given, stopped)
        while not any(request["storage"] for request in stopped.requests) and run.poll() is None:
            time.sleep(0.001)
        run.send_signal(stop)
        text, _ = run.communicate()
        print(f"  exit code {run.returncode}: {text.strip()}".replace("\n", "\n  "))
        assert run.returncode == code and TOKEN not in text and not stopped.commits
        stopped.delay = 0
        push(given, stopped)
        assert stopped.files == ours.files

    print("== a wrong token, and none")
    text = push(given, server(), token="hf_" + "wrong" * 6, code=1)
    assert "does not accept the token" in text
    print("  " + text.strip())
    text = push(given, server(), token="", code=1)
    assert "needs a token" in text
    print("  " + text.strip())

    print("== with a GGUF file")
    push(given, ours, "--gguf", "q8_0", "--message", "With a GGUF")
    folder = Path(snapshot_download(REPO, endpoint=ours.url, token=TOKEN, cache_dir=given.work / "cache2"))
    gguf = folder / "tuned-Q8_0.gguf"
    assert gguf.read_bytes()[:4] == b"GGUF" and (folder / "Modelfile").exists() and ours.commits[1:] == ["With a GGUF"]
    for server in servers:
        server.close()


if __name__ == "__main__":
    main()
