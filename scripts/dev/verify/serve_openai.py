"""Asks a running server with the official openai package, and checks each reply.

usage: serve_openai.py [--gone | --kill PID] URL KEY
With --gone the server has ended, and the error must say so. With --kill a stream runs when the server is killed: the client must see
that its reply was cut.
"""

import argparse
import json
import os
import signal

import openai
from openai import OpenAI
from pydantic import BaseModel

TOOLS = [
    {"type": "function", "function": {
        "name": "start_timer", "description": "Starts a timer.", "strict": True,
        "parameters": {"type": "object", "properties": {"duration": {"type": "integer", "minimum": 1, "maximum": 86400}},
                       "required": ["duration"], "additionalProperties": False}}},
    {"type": "function", "function": {
        "name": "create_reminder", "description": "Creates a reminder.",
        "parameters": {"type": "object", "properties": {"time": {"type": "string"}, "note": {"type": "string"}},
                       "required": ["time", "note"], "additionalProperties": False}}},
]
ASK = [{"role": "user", "content": "Set a timer for 5 minutes, and remind me to call mom at 8 PM."}]


def check_calls(calls, at_most=None):
    """Every call is one of the tools, with exactly its arguments."""
    assert calls, "no call"
    assert at_most is None or len(calls) <= at_most, f"{len(calls)} calls"
    known = {tool["function"]["name"]: set(tool["function"]["parameters"]["required"]) for tool in TOOLS}
    assert len({call.id for call in calls}) == len(calls), "duplicate ids"
    for call in calls:
        arguments = json.loads(call.function.arguments)
        assert set(arguments) == known[call.function.name], f"{call.function.name}: {arguments}"


def plain(client, model):
    reply = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Say hello."}], max_tokens=20)
    choice = reply.choices[0]
    assert choice.message.content and not choice.message.tool_calls, choice
    assert choice.finish_reason in ("stop", "length") and reply.usage.total_tokens > 0, reply


def each_tool_choice(client, model):
    def ask(choice, **more):
        return client.chat.completions.create(model=model, messages=ASK, tools=TOOLS, tool_choice=choice, max_tokens=300, **more)

    required = ask("required").choices[0]
    check_calls(required.message.tool_calls)
    assert required.finish_reason == "tool_calls", required
    named = ask({"type": "function", "function": {"name": "create_reminder"}}).choices[0]
    check_calls(named.message.tool_calls, at_most=1)
    assert named.message.tool_calls[0].function.name == "create_reminder"
    tools = [{"type": "function", "function": {"name": "create_reminder"}}]
    allowed = ask({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": tools}}).choices[0]
    assert {call.function.name for call in allowed.message.tool_calls} == {"create_reminder"}, allowed
    assert not ask("none").choices[0].message.tool_calls
    auto = ask("auto").choices[0].message
    assert auto.content is not None or auto.tool_calls
    check_calls(ask("required", parallel_tool_calls=False).choices[0].message.tool_calls, at_most=1)


def parallel_calls(client, model):
    most = 0
    for seed in range(30):
        reply = client.chat.completions.create(model=model, messages=ASK, tools=TOOLS, tool_choice="required", max_tokens=600,
                                               temperature=1.0, seed=seed)
        if reply.choices[0].finish_reason == "tool_calls":
            calls = reply.choices[0].message.tool_calls
            check_calls(calls)
            most = max(most, len(calls))
    assert most > 1, "the model never makes two calls; tune it, or ask another"


def streams(client, model):
    for more in ({}, {"tools": TOOLS, "tool_choice": "required"}):
        settings = dict(model=model, messages=ASK, max_tokens=300, **more)
        whole = client.chat.completions.create(**settings).choices[0]
        words, calls, usage = "", {}, None
        for piece in client.chat.completions.create(**settings, stream=True, stream_options={"include_usage": True}):
            usage = piece.usage or usage
            for choice in piece.choices:
                words += choice.delta.content or ""
                for call in choice.delta.tool_calls or []:
                    name, arguments = calls.get(call.index, ("", ""))
                    calls[call.index] = (name + (call.function.name or ""), arguments + (call.function.arguments or ""))
        assert words == (whole.message.content or ""), (words, whole)
        assert list(calls.values()) == [(c.function.name, c.function.arguments) for c in whole.message.tool_calls or []]
        assert usage.completion_tokens > 0
    # the package's own helper, which puts a stream together
    with client.chat.completions.stream(model=model, messages=ASK, tools=TOOLS[:1], tool_choice="required", max_tokens=300) as stream:
        for _ in stream:
            pass
        check_calls(stream.get_final_completion().choices[0].message.tool_calls)


class Trip(BaseModel):
    """Where to, and for how long."""

    city: str
    days: int


def structured(client, model):
    trip = client.chat.completions.parse(model=model, messages=[{"role": "user", "content": "Two days in Ulm, please."}],
                                         response_format=Trip, max_tokens=300)
    assert isinstance(trip.choices[0].message.parsed, Trip), trip
    plan = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Two days in Ulm as JSON."}],
                                          response_format={"type": "json_object"}, max_tokens=400)
    if plan.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(plan.choices[0].message.content), dict)


def history(client, model):
    first = client.chat.completions.create(model=model, messages=ASK, tools=TOOLS, tool_choice="required", max_tokens=300)
    message = first.choices[0].message
    answers = [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in message.tool_calls]
    reply = client.chat.completions.create(model=model, messages=[*ASK, message, *answers], tools=TOOLS, max_tokens=60)
    assert reply.choices[0].message.content is not None or reply.choices[0].message.tool_calls
    reply = client.chat.completions.parse(model=model, messages=ASK, response_format=Trip, max_tokens=300)
    parsed = reply.choices[0].message
    client.chat.completions.create(model=model, messages=[*ASK, parsed, ASK[0]], max_tokens=5)


def settings(client, model):
    def ask(**more):
        return client.chat.completions.create(model=model, messages=ASK, max_tokens=40, **more).choices[0]

    assert ask(temperature=1, seed=1).message.content == ask(temperature=1, seed=1).message.content
    text = ask().message.content
    stop = text[5:8]
    assert ask(stop=stop).message.content == text.split(stop)[0].rstrip()
    told = ask(logprobs=True, top_logprobs=3).logprobs.content
    assert all(len(token.top_logprobs) == 3 for token in told) and told[0].logprob <= 0


def errors(client, url, model):
    def fails(kind, status, **request):
        try:
            client.with_options(max_retries=0).chat.completions.create(**{"model": model, "messages": ASK, "max_tokens": 5, **request})
        except kind as error:
            assert error.status_code == status and error.message and error.body["message"], error
            return error
        raise AssertionError(f"{request} was not refused")

    assert fails(openai.BadRequestError, 400, temperature=9).param == "temperature"
    assert fails(openai.BadRequestError, 400, messages=[]).param == "messages"
    assert fails(openai.BadRequestError, 400, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "fly"}}).param == "tool_choice"
    assert fails(openai.BadRequestError, 400, extra_body={"temprature": 1}).code == "unknown_parameter"
    assert fails(openai.BadRequestError, 400, messages=[{"role": "user", "content": "tick " * 50000}]).code == "context_length_exceeded"
    assert fails(openai.NotFoundError, 404, model="gpt-4o").code == "model_not_found"
    assert fails(openai.APIStatusError, 413, messages=[{"role": "user", "content": "x" * (4 << 20)}]).code == "body_too_large"
    stranger = OpenAI(base_url=url, api_key="other", max_retries=0)
    try:
        stranger.models.list()
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key"
    else:
        raise AssertionError("another key was accepted")


def gone(client):
    try:
        client.with_options(max_retries=0).models.list()
    except openai.APIConnectionError:
        print("ok    a server that has ended is a connection error")
    else:
        raise AssertionError("a server answers")


def killed(client, pid):
    """SIGKILL in the middle of a stream."""
    story = [{"role": "user", "content": "Tell me a very long story about a ship."}]
    settings = dict(model=client.models.list().data[0].id, messages=story, max_tokens=1000, stream=True)
    pieces = client.with_options(max_retries=0).chat.completions.create(**settings)
    try:
        for number, _ in enumerate(pieces):
            if number == 3:
                os.kill(pid, signal.SIGKILL)
    except Exception as error:  # the error of the transport, not one of the package
        print(f"ok    a stream that is cut is an error: {type(error).__name__}: {error}")
    else:
        raise AssertionError("the client took a cut stream for a whole reply")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("key")
    parser.add_argument("--gone", action="store_true")
    parser.add_argument("--kill", type=int, metavar="PID")
    arguments = parser.parse_args()
    url = arguments.url
    client = OpenAI(base_url=url, api_key=arguments.key, timeout=300)
    if arguments.gone:
        return gone(client)
    if arguments.kill:
        return killed(client, arguments.kill)
    model = client.models.list().data[0].id
    assert client.models.retrieve(model).id == model
    for check in (plain, each_tool_choice, streams, structured, history, settings):
        check(client, model)
        print("ok   ", check.__name__.replace("_", " "))
    errors(client, url, model)
    print("ok    errors")
    try:
        parallel_calls(client, model)
        print("ok    parallel calls")
    except AssertionError as error:
        raise SystemExit(f"parallel calls: {error}") from error
    return None


if __name__ == "__main__":
    main()
