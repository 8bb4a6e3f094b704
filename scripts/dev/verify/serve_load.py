"""Runs many clients of all kinds at once. Ends with an error if a reply is lost or belongs to another request, or if memory grows.

usage: serve_load.py URL --pid PID [--seconds 60] [--clients 500]

A client that is asked to retry (429, or 503 while other bodies fill the memory) waits as long as `Retry-After` says and asks again
until it has its reply, even after the seconds are over. So a request that is never served fails the check.
"""

import argparse
import asyncio
import json
import random
import re
import time
import urllib.parse
from collections import Counter
from pathlib import Path

BODY = "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"


LONG = json.dumps({"messages": [{"role": "user", "content": "tick " * 400_000}]}).encode()  # more tokens than a model has room for
PATIENCE = 300  # seconds that a client asks again


def question(number):
    """A request whose reply identifies it: its tool accepts only one value. Prompts have 20 to 1,500 tokens."""
    tool = {"type": "function", "function": {"name": "mark", "parameters": {
        "type": "object", "properties": {"who": {"enum": [f"client-{number}"]}}, "required": ["who"]}}}
    return {"messages": [{"role": "user", "content": "Mark me. " + "Please. " * random.choice([0, 0, 5, 60, 700])}], "tools": [tool],
            "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 60}


def talk(number):
    """A request for 1 to 200 tokens of words."""
    length = random.choice([1, 10, 50, 200])
    return {"messages": [{"role": "user", "content": f"Tell me a story about the number {number}."}], "max_tokens": length}


class Clients:
    """The clients and the outcomes of their requests."""

    def __init__(self, url):
        place = urllib.parse.urlparse(url)
        self.host, self.port = place.hostname, place.port
        self.seen, self.wrong, self.number, self.longest = Counter(), [], 0, 0.0

    async def connect(self):
        return await asyncio.open_connection(self.host, self.port)

    async def send(self, body, path="/v1/chat/completions", length=None):
        reader, writer = await self.connect()
        head = BODY.format(path=path, host=f"{self.host}:{self.port}", length=len(body) if length is None else length)
        writer.write(head.encode() + body)
        await writer.drain()
        return reader, writer

    async def answer(self, reader, slowly=False):
        """Reads an answer; returns status, text and head."""
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
        return int(head.split(b" ")[1]) if head else 0, text.decode(), head.decode()

    async def ask(self, slowly=False, streamed=False):
        """Asks for a call, which must be the client's own."""
        self.number += 1
        mine = f"client-{self.number}"
        body = question(self.number) | ({"stream": True} if streamed else {})
        text = await self.served(mine, body, slowly)
        if text is None:
            return
        if mine not in text or text.count("client-") != 1:
            self.wrong.append(f"{mine}: got {text[:200]}")
        elif streamed and not text.rstrip().endswith("data: [DONE]"):
            self.wrong.append(f"{mine}: the stream does not end: {text[-200:]}")
        else:
            self.seen["own call"] += 1

    async def listen(self):
        """Asks for words; there must be no more than asked for."""
        self.number += 1
        body = talk(self.number)
        text = await self.served(f"client-{self.number}", body)
        if text is None:
            return
        reply = json.loads(text)
        tokens, reason = reply["usage"]["completion_tokens"], reply["choices"][0]["finish_reason"]
        if tokens > body["max_tokens"] or (reason == "length" and tokens < body["max_tokens"]):
            self.wrong.append(f"client-{self.number}: {tokens} tokens of {body['max_tokens']}, {reason}")
        self.seen["own words"] += 1

    async def served(self, mine, body, slowly=False):
        """Asks until the reply comes; returns its text."""
        start = time.monotonic()
        while True:
            reader, writer = await self.send(json.dumps(body).encode())
            status, text, head = await self.answer(reader, slowly)
            writer.close()
            waited = time.monotonic() - start
            if status == 200:
                self.longest = max(self.longest, waited)
                return text
            if status not in (429, 503) or waited > PATIENCE:
                self.wrong.append(f"{mine}: status {status} after {waited:.0f} s: {text[:200]}")
                return None
            self.seen["asked to retry"] += 1
            again = re.search(r"(?i)retry-after: (\d+)", head)
            if again is None:
                self.wrong.append(f"{mine}: {status} without Retry-After")
                return None
            await asyncio.sleep(int(again[1]) + random.uniform(0, 1))

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
        while True:
            reader, writer = await self.send(body)
            got, text, _ = await self.answer(reader)
            writer.close()
            if got != 503:  # the bodies of others fill the memory
                break
            self.seen["asked to retry"] += 1
            await asyncio.sleep(random.uniform(1, 2))
        if got != status or "error" not in json.loads(text):
            self.wrong.append(f"{what}: status {got}, not {status}: {text[:200]}")
        self.seen[what] += 1

    async def one(self, until):
        while time.monotonic() < until:
            kind = random.random()
            try:
                if kind < 0.45:
                    await self.ask(streamed=kind < 0.2)
                elif kind < 0.55:
                    await self.listen()
                elif kind < 0.7:
                    await self.ask(slowly=True, streamed=True)
                elif kind < 0.8:
                    await self.vanish()
                elif kind < 0.88:
                    await self.half()
                elif kind < 0.95:
                    await self.refused(b'{"messages": [}', 400, "bad JSON")
                elif kind < 0.97:
                    await self.refused(LONG, 400, "2 MB of prompt")
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
    over = time.monotonic() - until
    await clients.ask()  # the next request is served
    print(", ".join(f"{count} {what}" for what, count in sorted(clients.seen.items())))
    print(f"the longest wait for a reply: {clients.longest:.0f} s; the last came {over:.0f} s after the end")
    print(f"memory: {before >> 20} MiB after one request, {most >> 20} MiB at most")
    assert not clients.wrong, f"{len(clients.wrong)} wrong:\n" + "\n".join(clients.wrong[:10])
    assert most < before + (3 << 30), "memory is not bounded"  # the cache has 2 GiB, bodies 64 MiB
    missing = {"own call", "own words", "vanished", "half a body", "bad JSON", "2 MB of prompt", "10 MB"} - set(clients.seen)
    assert not missing, f"no client of these kinds has finished: {missing}"
    assert clients.seen["own call"] >= arguments.clients, "fewer calls than clients"
    print("ok    every reply has come, and is that of its request")


if __name__ == "__main__":
    asyncio.run(main())
