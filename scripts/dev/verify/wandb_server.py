"""A local server with as much of the API of Weights & Biases as `wandb sync` and toolcall need; it keeps everything it receives."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """The received runs by id: config, lines of each file, stored files."""

    def __init__(self):
        self.runs = {}
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def run(self, name):
        return self.runs.setdefault(name, {"config": {}, "files": {}, "stored": {}, "end": None})

    def graphql(self, query, variables):
        if "upsertBucket" in query:
            run = self.run(variables["name"])
            run["config"] |= json.loads(variables.get("config") or "{}")
            run["name"] = variables.get("displayName") or run.get("name")
            project = {"id": "project", "name": variables["project"], "entity": {"id": "entity", "name": "me"}}
            bucket = {"id": "run", "name": variables["name"], "displayName": run["name"], "description": None}
            bucket |= {"config": "{}", "sweepName": None, "project": project, "historyLineCount": 0}
            return {"upsertBucket": {"inserted": True, "bucket": bucket}}
        if "createRunFiles" in query:
            place = f"{self.url}/storage/{variables['run']}/"
            files = [{"name": name, "uploadUrl": place + name} for name in variables["files"]]
            return {"createRunFiles": {"runID": "run", "uploadHeaders": [], "files": files}}
        if "viewer" in query:
            return {"viewer": {"id": "me", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        return {}

    def stream(self, name, sent):
        run = self.run(name)
        for file, part in (sent.get("files") or {}).items():
            lines = run["files"].setdefault(file, [])
            assert part["offset"] <= len(lines), f"a gap in {file}"
            lines[part["offset"] :] = part["content"]
        if sent.get("complete"):
            run["end"] = sent["exitcode"]

    def close(self):
        self.http.shutdown()


def handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def body(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        def answer(self, content):
            content = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self):
            self.answer({})

        def do_PUT(self):
            _, _, run, name = self.path.split("/", 3)
            server.run(run)["stored"][name] = self.body()
            self.answer({})

        def do_POST(self):
            body = self.body()
            if self.path.endswith("/file_stream"):
                server.stream(self.path.split("/")[-2], json.loads(body))
                return self.answer({})
            if self.path.endswith("/graphql"):
                sent = json.loads(body)
                return self.answer({"data": server.graphql(sent["query"], sent.get("variables") or {})})
            self.answer({})  # the client's description of itself

    return Handler
