"""Hosted vendors through any-llm: its real code, with a server of ours at the vendor's address."""

import asyncio
import json
import sys

import pytest
from endpoint_server import Hang, Status, call, completion, refuse
from pydantic import BaseModel

from toolmaster.errors import ConfigError, InputError, PermanentPolicyError, PolicyError
from toolmaster.judges.json_endpoint import JsonEndpoint
from toolmaster.limits import Limits
from toolmaster.policies.base import ContextFullError, EndpointSettings, Sampling
from toolmaster.policies.endpoint import ChatEndpoint
from toolmaster.policies.loading import load_policy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.tasksets import Task
from toolmaster.tools import ToolSet
from toolmaster.tools.tool import Tool

pytest.importorskip("any_llm", reason="needs the extra vendors")
pytestmark = pytest.mark.filterwarnings(
    "ignore:Inheritance class AiohttpClientSession:DeprecationWarning"  # of google-genai
)


class Verdict(BaseModel):
    good: bool


KEY = "sk-very-secret-0123456789"
SETTINGS = EndpointSettings(retries=0)
KEYS = ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "MISTRAL_API_KEY",
        "OPENROUTER_API_KEY", "GROQ_API_KEY", "JUDGE_API_KEY")  # fmt: skip


@pytest.fixture(autouse=True)
def _keys(monkeypatch):
    for name in KEYS:
        monkeypatch.setenv(name, KEY)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "an-aws-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("JUDGE_API_KEY")


def anthropic(*blocks, stop="end_turn"):
    return {"id": "1", "type": "message", "role": "assistant", "model": "c", "content": blocks,
            "stop_reason": stop, "usage": {"input_tokens": 70, "output_tokens": 9}}  # fmt: skip


def gemini(*parts, finish="STOP"):
    return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": finish}],
            "usageMetadata": {"promptTokenCount": 70, "candidatesTokenCount": 9}}  # fmt: skip


def bedrock(*content, stop="end_turn"):
    return {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop,
            "usage": {"inputTokens": 70, "outputTokens": 9, "totalTokens": 79},
            "metrics": {"latencyMs": 1}}  # fmt: skip


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s1"}
DETAILS = [{"type": "reasoning.encrypted", "data": "s1"}]
TURNS = {
    "anthropic": (
        anthropic(
            THOUGHT,
            {"type": "tool_use", "id": "c1", "name": "add_one", "input": {"n": 4}},
            stop="tool_use",
        ),
        anthropic({"type": "text", "text": "5"}),
        anthropic({"type": "text", "text": "the num"}, stop="max_tokens"),
    ),
    "gemini": (
        gemini({"functionCall": {"name": "add_one", "args": {"n": 4}}, "thoughtSignature": "czE="}),
        gemini({"text": "5"}),
        gemini({"text": "the num"}, finish="MAX_TOKENS"),
    ),
    "bedrock": (
        bedrock(
            {"toolUse": {"toolUseId": "c1", "name": "add_one", "input": {"n": 4}}}, stop="tool_use"
        ),
        bedrock({"text": "5"}),
        bedrock({"text": "the num"}, stop="max_tokens"),
    ),
    "mistral": (
        completion(None, "tool_calls", tool_calls=[call("add_one", {"n": 4})]) | {"created": 1},
        completion("5") | {"created": 1},
        completion("the num", "length") | {"created": 1},
    ),
    "groq": (
        completion(None, "tool_calls", tool_calls=[call("add_one", {"n": 4})], reasoning="hm")
        | {"created": 1},
        completion("5") | {"created": 1},
        completion("the num", "length") | {"created": 1},
    ),
    "openrouter": (
        completion(tool_calls=[call("add_one", {"n": 4})], reasoning_details=DETAILS)
        | {"created": 1},
        completion("5") | {"created": 1},
        completion("the num", "length") | {"created": 1},
    ),
}
NEEDED_BACK = {
    "anthropic": THOUGHT,
    "groq": {"reasoning": "hm"},
    "gemini": {"thoughtSignature": "czE="},
    "openrouter": DETAILS,
}


def address(server, vendor):
    return server.url if vendor == "openrouter" else server.url.removesuffix("/v1")


def solved(server, vendor):
    tool = Tool("add.one", "adds one", NESTED, lambda _, given: given["n"] + 1)
    task = Task("t/1", "What is 4 plus 1?", tools=lambda: ToolSet((tool,), {}, dict))

    async def go():
        policy = load_policy(
            f"{vendor}:claude-x",
            Sampling(turn_tokens=2000),
            base_url=address(server, vendor),
            endpoint=SETTINGS,
        )
        try:
            return await run_rollout(RolloutRequest(task), policy, Protocol.DIRECT, Limits())
        finally:
            await policy.close()

    return asyncio.run(go())


NESTED = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 0},
        "by": {"type": "object", "properties": {"deep": {"type": "string"}}},
    },
    "required": ["n"],
}


@pytest.mark.parametrize("vendor", TURNS)
def test_a_task_is_solved(serve, vendor):
    call_turn, answer, cut = TURNS[vendor]
    server = serve(call_turn, cut, answer)
    got = solved(server, vendor)
    assert (got.error, got.answer, got.steps[0].observation) == (None, "5", "5")
    assert "cut off at 2000 tokens (sampling.turn_tokens)" in got.steps[1].observation
    assert (got.prompt_tokens, got.completion_tokens) == (70, 27)
    first, second, _ = map(json.dumps, server.bodies())
    for part in ("add_one", "deep", "minimum", "2000", "What is 4 plus 1?", "Calls are real"):
        assert part in first
    if vendor in NEEDED_BACK:
        assert json.dumps(NEEDED_BACK[vendor]).strip("{}") in second


def ask(vendor, server, *, headers=None, settings=SETTINGS, **options):
    async def go():
        url = address(server, vendor)
        given = {**dict(settings), "headers": headers or {}}
        endpoint = ChatEndpoint("m", Sampling(), url, vendor=vendor, **given, **options)
        try:
            return await endpoint.ask([{"role": "user", "content": "q"}])
        finally:
            await endpoint.close()

    return asyncio.run(go())


@pytest.mark.parametrize("vendor", TURNS)
@pytest.mark.parametrize(("reply", "kind", "said"), [
    (refuse(401, f"wrong key {KEY}"), PermanentPolicyError, "; check "),
    (refuse(404, "no such model"), PermanentPolicyError, "404 no such model; check the model's"),
    (refuse(400, "prompt is too long: 9 tokens > 8 maximum"), ContextFullError, "is too long"),
    (refuse(429, "slow down", retry_after="0"), PolicyError, "429 slow down"),
    (refuse(529, "overloaded"), PolicyError, "529 overloaded"),
    (refuse(400, "the request is odd"), PolicyError, "400 the request is odd"),
])  # fmt: skip
def test_errors(serve, vendor, reply, kind, said):
    if vendor == "bedrock":  # AWS writes its errors so, and repeats some itself
        reply = Status(reply.status, {"message": reply.body["error"]["message"]}, reply.headers)
    with pytest.raises(kind) as raised:
        ask(vendor, serve(lambda body: reply))
    assert type(raised.value) is kind or kind is PolicyError
    if vendor == "bedrock":
        said = said.partition(" ")[2]  # its SDK puts words between
    assert said in str(raised.value)
    assert KEY not in str(raised.value)
    assert str(raised.value).startswith(f"model 'm' of {vendor} at http://127.0.0.1:")


def test_what_a_vendor_refuses_is_left_out(serve):
    refusal = refuse(400, "`temperature` is deprecated for this model.", "invalid_request_error")
    server = serve(refusal, TURNS["anthropic"][1])
    assert ask("anthropic", server).content == "5"
    assert ["temperature" in body for body in server.bodies()] == [True, False]


def test_settings_of_requests(serve):
    server = serve(TURNS["anthropic"][1])
    settings = EndpointSettings(retries=0, body={"top_k": "5"}, reasoning_effort="low")
    ask("anthropic", server, headers={"x-team": "a"}, settings=settings)
    [(_, headers, body)] = server.requests
    assert {name.lower(): value for name, value in headers.items()}["x-team"] == "a"
    assert body["top_k"] == 5
    assert body["output_config"] == {"effort": "low"}


def test_no_answer_in_time(serve):
    settings = EndpointSettings(retries=0, timeout_s=0.2)
    with pytest.raises(PolicyError, match=r"endpoint\.timeout_s|imed? ?out"):
        ask("anthropic", serve(Hang()), settings=settings)


def test_keys(serve, monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", "the-judges-key")
    server = serve(TURNS["anthropic"][1])
    ask("anthropic", server, role="judge")
    assert "the-judges-key" in server.requests[0][1].values()
    monkeypatch.delenv("MISTRAL_API_KEY")
    with pytest.raises(PolicyError, match="no key for model 'm' of mistral: set MISTRAL_API_KEY"):
        ChatEndpoint("m", Sampling(), vendor="mistral")


def test_what_else_a_vendor_needs(monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(PolicyError, match=r"model 'm' of bedrock: .*You must specify a region"):
        ChatEndpoint("m", Sampling(), vendor="bedrock")


def test_a_vendor_that_there_is_not():
    with pytest.raises(ConfigError, match=r"no vendor 'antropic' \(did you mean 'anthropic'\?\)"):
        load_policy("antropic:claude-x", Sampling())


def test_a_vendor_whose_library_is_missing():
    with pytest.raises(InputError, match=r"pip install .*any-llm-sdk\[cohere\]"):
        ChatEndpoint("m", Sampling(), vendor="cohere")


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "any_llm", None)
    with pytest.raises(
        InputError, match=r'pip install "toolmaster\[vendors\]"; a model of an Open'
    ):
        load_policy("qwen3:8b", Sampling())


@pytest.mark.parametrize("vendor", ["anthropic", "gemini", "bedrock", "mistral", "groq"])
def test_a_vendor_outlives_its_connections_and_an_event_loop(serve, vendor):
    server = serve(*[TURNS[vendor][1]] * 4)
    endpoint = ChatEndpoint("m", Sampling(), address(server, vendor), vendor=vendor, retries=0)

    async def go():
        for _ in range(2):
            assert (await endpoint.ask([{"role": "user", "content": "q"}])).content == "5"
            await endpoint.close()

    asyncio.run(go())
    asyncio.run(go())
    assert len(server.requests) == 4


def test_a_judge(serve):
    server = serve(anthropic({"type": "text", "text": '{"good": true}'}))

    async def go():
        url = address(server, "anthropic")
        async with JsonEndpoint("judge", "anthropic:claude-x", url, retries=0) as judge:
            return judge.model, await judge.ask("Judge.", "4", Verdict)

    assert asyncio.run(go()) == ("anthropic:claude-x", Verdict(good=True))
    assert server.bodies()[0]["model"] == "claude-x"
