"""A local server with as much of the hub's API as uploads and downloads need; it remembers every request."""

import base64
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

BLOCK = 1 << 20


class Port(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # a client disconnects, as a stopped push does
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*_)


class Server:
    """A hub for one user, with a storage on its own port. Contents are in the folder `place`."""

    def __init__(self, place, token, chunk=None):
        self.place, self.token, self.chunk = place, token, chunk
        place.mkdir(parents=True)
        self.private = None  # whether the repository is private, once there is one
        self.files = {}  # name: (is in the storage, the name of its content in `place`)
        self.commits = []
        self.requests = []
        self.cuts = 0  # uploads to break off half way
        self.delay = 0  # seconds before an upload is accepted
        self.ports = [Port(("127.0.0.1", 0), handler(self, stored)) for stored in (False, True)]
        self.url, self.storage = (f"http://127.0.0.1:{port.server_port}" for port in self.ports)
        for port in self.ports:
            threading.Thread(target=port.serve_forever, daemon=True).start()

    def close(self):
        for port in self.ports:
            port.shutdown()

    @property
    def commit(self):
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()

    def has(self, oid):
        return (self.place / oid).exists()

    def size(self, name):
        return (self.place / self.files[name][1]).stat().st_size

    def modes(self, files):
        def mode(file):
            large = file["path"].endswith((".safetensors", ".gguf")) or file["size"] > 10_000_000
            oid = self.files.get(file["path"], (None, None))[1]
            wanted = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            return wanted | ({"oid": oid} if oid else {})

        return {"files": [mode(file) for file in files]}

    def batch(self, repo, objects):
        def wanted(object):
            oid, size = object["oid"], object["size"]
            if self.has(oid):
                return object
            place = f"{self.storage}/upload/{oid}"
            upload = {"href": f"{place}?X-Signature=key"}
            if self.chunk and size > self.chunk:
                parts = range(1, -(-size // self.chunk) + 1)
                header = {f"{part:05}": f"{place}.{part:05}?X-Signature=key" for part in parts}
                upload = {"href": f"{self.url}/api/complete_multipart?uploadId=key&object={oid}"}
                upload["header"] = {"chunk_size": str(self.chunk)} | header
            verify = {"href": f"{self.url}/{repo}.git/info/lfs/objects/verify"}
            return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}}

        return {"transfer": "multipart" if self.chunk else "basic", "objects": [wanted(object) for object in objects]}

    def complete(self, oid, parts):
        """Joins the parts of a content; true if it is the announced one."""
        hash = hashlib.sha256()
        with open(self.place / f"{oid}.whole", "wb") as whole:
            for part in parts:
                place = self.place / f"{oid}.{part['partNumber']:05}"
                bytes = place.read_bytes()
                assert part["etag"].strip('"') == hashlib.md5(bytes).hexdigest()
                hash.update(bytes)
                whole.write(bytes)
                place.unlink()
        if hash.hexdigest() != oid:
            return False
        (self.place / f"{oid}.whole").rename(self.place / oid)
        return True

    def tree(self):
        def entry(name):
            large, oid = self.files[name]
            found = {"type": "file", "path": name, "size": self.size(name), "oid": oid}
            return found | ({"lfs": {"oid": oid, "size": self.size(name), "pointerSize": 134}} if large else {})

        return [entry(name) for name in self.files]

    def take_commit(self, repo, lines):
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"])
                oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
                (self.place / oid).write_bytes(content)
                self.files[value["path"]] = (False, oid)
            elif line["key"] == "lfsFile":
                assert self.has(value["oid"]) and (self.place / value["oid"]).stat().st_size == value["size"]
                self.files[value["path"]] = (True, value["oid"])
        self.commits.append(lines[0]["value"]["summary"])
        return {"success": True, "commitOid": self.commit, "commitUrl": f"{self.url}/{repo}/commit/{self.commit}"}


def handler(server, stored):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def remember(self, body=None):
            path = urlsplit(self.path).path
            sent = {name.lower(): value for name, value in self.headers.items()}
            server.requests.append({"method": self.command, "path": path, "headers": sent, "body": body, "storage": stored})
            return unquote(path)

        def answer(self, content, status=200, headers=()):
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": len(content), **dict(headers)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def refused(self):
            sent = self.headers.get("Authorization")
            if sent == f"Bearer {server.token}":
                return False
            self.answer({"error": f"Invalid credentials in Authorization header: {sent}"}, 401)
            return True

        def do_PUT(self):
            name = self.remember().removeprefix("/upload/")
            left = length = int(self.headers["Content-Length"])
            time.sleep(server.delay)
            cut = server.cuts > 0
            server.cuts -= cut
            digest, sha256 = hashlib.md5(), hashlib.sha256()
            place = server.place / f"{name}.partial.{threading.get_ident()}"
            with open(place, "wb") as file:
                while left > (length // 2 if cut else 0):
                    block = self.rfile.read(min(BLOCK, left))
                    if not block:
                        return
                    left -= len(block)
                    digest.update(block)
                    sha256.update(block)
                    file.write(block)
            if cut:
                self.close_connection = True
                return
            if "." not in name and sha256.hexdigest() != name:
                return self.answer({}, 400)
            place.rename(server.place / name)
            self.answer(b"", headers={"ETag": f'"{digest.hexdigest()}"'})

        def do_POST(self):
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            lines = [json.loads(line) for line in sent.splitlines()] if b"ndjson" in self.headers["Content-Type"].encode() else None
            body = lines or json.loads(sent or b"{}")
            path = self.remember(body)
            if path == "/api/complete_multipart":
                return self.answer({}, 200 if server.complete(body["oid"], body["parts"]) else 400)
            if self.refused():
                return
            if path == "/api/repos/create":
                if server.private is not None:
                    return self.answer({"error": "You already created this model repo", "url": server.url}, 409)
                server.private = body.get("private", body.get("visibility") == "private")
                name = f"{body['organization']}/{body['name']}"
                return self.answer({"url": f"{server.url}/{name}", "name": name})
            if path == "/api/validate-yaml":
                return self.answer({"errors": [], "warnings": []})
            if "/preupload/" in path:
                return self.answer(server.modes(body["files"]))
            if path.endswith("/objects/batch"):
                return self.answer(server.batch(path[1:].split(".git/")[0], body["objects"]))
            if path.endswith("/objects/verify"):
                there = server.has(body["oid"])
                return self.answer({}, 200 if there else 404)
            if "/commit/" in path:
                return self.answer(server.take_commit(path.split("/commit/")[0].removeprefix("/api/models/"), body))
            self.answer({"error": "Not found"}, 404)

        def do_GET(self):
            path = self.remember()
            if stored:
                return self.content(path.removeprefix("/content/"))
            if self.refused():
                return
            if path.startswith("/api/models/") and "/tree/" in path:
                return self.answer(server.tree())
            if path.startswith("/api/models/"):
                siblings = [{"rfilename": name} for name in server.files]
                info = {"id": path.split("/revision/")[0].removeprefix("/api/models/"), "sha": server.commit}
                return self.answer(info | {"private": server.private, "siblings": siblings, "tags": [], "downloads": 0})
            name = path.split("/resolve/")[-1].partition("/")[2]
            if name not in server.files:
                return self.answer({"error": "Not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            large, oid = server.files[name]
            headers = {"X-Repo-Commit": server.commit, "ETag": f'"{oid}"'}
            if not large:
                return self.answer((server.place / oid).read_bytes(), headers=headers)
            headers |= {"Location": f"{server.storage}/content/{oid}", "X-Linked-Etag": f'"{oid}"', "X-Linked-Size": server.size(name)}
            self.answer(b"", 302, headers)

        do_HEAD = do_GET

        def content(self, oid):
            place = server.place / oid
            size = place.stat().st_size
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            first, last = int(first), min(int(last or size - 1), size - 1)
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Content-Length", str(last + 1 - first))
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.send_header("ETag", f'"{oid}"')
            self.end_headers()
            if self.command == "HEAD":
                return
            with open(place, "rb") as file:
                file.seek(first)
                left = last + 1 - first
                while left and (block := file.read(min(BLOCK, left))):
                    self.wfile.write(block)
                    left -= len(block)

    return Handler
