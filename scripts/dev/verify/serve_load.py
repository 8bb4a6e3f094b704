"""Many clients at once, of all kinds. Ends with an error if a reply is lost, is that of another request, or if memory grows.

usage: serve_load.py URL --pid PID [--seconds 60] [--clients 500]
"""

import argparse
import asyncio
import json
import random
import time
import urllib.parse
from collections import Counter
from pathlib import Path

BODY = "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"


def question(number):
    """A request whose reply shows whose it is: the only value that its tool takes."""
    tool = {"type": "function", "function": {"name": "mark", "parameters": {
        "type": "object", "properties": {"who": {"enum": [f"client-{number}"]}}, "required": ["who"]}}}
    return {"messages": [{"role": "user", "content": "Mark me. " + "Please. " * random.choice([0, 0, 5, 60])}], "tools": [tool],
            "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 60}


class Clients:
    """The clients, and what has become of their requests."""

    def __init__(self, url):
        place = urllib.parse.urlparse(url)
        self.host, self.port = place.hostname, place.port
        self.seen, self.wrong, self.number = Counter(), [], 0

    async def connect(self):
        return await asyncio.open_connection(self.host, self.port)

    async def send(self, body, path="/v1/chat/completions", length=None):
        reader, writer = await self.connect()
        head = BODY.format(path=path, host=f"{self.host}:{self.port}", length=len(body) if length is None else length)
        writer.write(head.encode() + body)
        await writer.drain()
        return reader, writer

    async def answer(self, reader, slowly=False):
        """Status and text."""
        data = b""
        while part := await reader.read(16 if slowly else 65536):
            data += part
            if slowly:
                await asyncio.sleep(0.02)
        head, _, text = data.partition(b"\r\n\r\n")
        if b"chunked" in head:
            whole, rest = b"", text
            while rest:
                size, _, rest = rest.partition(b"\r\n")
                count = int(size or b"0", 16)
                whole, rest = whole + rest[:count], rest[count + 2:]
                if not count:
                    break
            text = whole
        return int(head.split(b" ")[1]) if head else 0, text.decode()

    async def ask(self, slowly=False, streamed=False):
        """A whole request, whose reply has to be its own."""
        self.number += 1
        mine = f"client-{self.number}"
        body = question(self.number) | ({"stream": True} if streamed else {})
        reader, writer = await self.send(json.dumps(body).encode())
        status, text = await self.answer(reader, slowly)
        writer.close()
        if status == 429:
            self.seen["come back later"] += 1
            await asyncio.sleep(random.uniform(0.5, 2))
        elif status != 200:
            self.wrong.append(f"{mine}: status {status}: {text[:200]}")
        elif mine not in text or text.count("client-") != 1:
            self.wrong.append(f"{mine}: got {text[:200]}")
        elif streamed and not text.rstrip().endswith("data: [DONE]"):
            self.wrong.append(f"{mine}: the stream does not end: {text[-200:]}")
        else:
            self.seen["own reply"] += 1

    async def vanish(self):
        reader, writer = await self.send(json.dumps(question(0) | {"stream": True}).encode())
        await asyncio.sleep(random.uniform(0, 0.3))
        writer.transport.abort()
        self.seen["vanished"] += 1

    async def half(self):
        reader, writer = await self.send(b'{"messages": [', length=10_000)
        await asyncio.sleep(random.uniform(0, 2))
        writer.transport.abort()
        self.seen["half a body"] += 1

    async def refused(self, body, status, what):
        reader, writer = await self.send(body)
        got, text = await self.answer(reader)
        writer.close()
        if got != status or "error" not in json.loads(text):
            self.wrong.append(f"{what}: status {got}, not {status}: {text[:200]}")
        self.seen[what] += 1

    async def one(self, until):
        while time.monotonic() < until:
            kind = random.random()
            try:
                if kind < 0.55:
                    await self.ask(streamed=kind < 0.2)
                elif kind < 0.7:
                    await self.ask(slowly=True, streamed=True)
                elif kind < 0.8:
                    await self.vanish()
                elif kind < 0.88:
                    await self.half()
                elif kind < 0.97:
                    await self.refused(b'{"messages": [}', 400, "bad JSON")
                else:
                    await self.refused(b" " * (10 << 20), 413, "10 MB")
            except (ConnectionError, asyncio.IncompleteReadError, ValueError) as error:
                self.wrong.append(f"{type(error).__name__}: {error}")


def memory(pid):
    """Resident bytes of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=500)
    arguments = parser.parse_args()
    clients = Clients(arguments.url)
    await clients.ask()
    before, most = memory(arguments.pid), 0
    until = time.monotonic() + arguments.seconds
    crowd = asyncio.gather(*(clients.one(until) for _ in range(arguments.clients)))
    while not crowd.done():
        most = max(most, memory(arguments.pid))
        await asyncio.sleep(0.5)
    await crowd
    await clients.ask()  # the next request is served
    print(", ".join(f"{count} {what}" for what, count in sorted(clients.seen.items())))
    print(f"memory: {before >> 20} MiB after one request, {most >> 20} MiB at most")
    assert not clients.wrong, f"{len(clients.wrong)} wrong:\n" + "\n".join(clients.wrong[:10])
    assert most < before + (3 << 30), "memory is not bounded"  # the cache has 2 GiB, bodies 64 MiB
    print("ok    every reply has come, and is that of its request")


if __name__ == "__main__":
    asyncio.run(main())
