"""A policy behind an endpoint, against a real server on this machine."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from toolmaster.errors import PolicyError
from toolmaster.policies.base import Sampling
from toolmaster.policies.openai import OpenAIPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, groups, run_rollout, run_rollouts
from toolmaster.session import Limits
from toolmaster.types import StopReason

KEY = "sk-very-secret-0123456789"
ANSWER = "<think>t</think><answer>4</answer>"


class Endpoint(ThreadingHTTPServer):
    """Answers requests from a list: text, or (status, body, headers)."""

    daemon_threads = True

    def __init__(self, replies):
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies = list(replies)
        self.requests = []
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers), body))
            reply = self.server.replies.pop(0)
        if isinstance(reply, str):
            reply = (200, completion(reply), {})
        status, content, headers = reply
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        kind = "text/plain" if isinstance(content, str) else "application/json"
        for name, value in {"content-type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def completion(*texts):
    choices = [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        for text in texts
    ]
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": choices,
        "usage": {"prompt_tokens": 70, "completion_tokens": 9, "total_tokens": 79},
    }


@pytest.fixture
def serve():
    """A function: an endpoint that gives these replies; shut down after the test."""
    servers = []

    def start(*replies):
        server = Endpoint(replies)
        servers.append((server, threading.Thread(target=server.serve_forever, args=(0.01,))))
        servers[-1][1].start()
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def task(world):
    return world.draw(world.ids("seen", 1, ["silent"])[0]).task


def run(server, requests, *, retries=0, concurrency=1, protocol=Protocol.DIRECT):
    async def go():
        policy = OpenAIPolicy("m", Sampling(turn_tokens=50), base_url=server.url, retries=retries, spelling="text", wait_s=0.001)
        try:
            return await run_rollouts(requests, policy, protocol, Limits(), concurrency=concurrency)
        finally:
            await policy.close()

    return asyncio.run(go())


def test_a_rollout_is_solved_by_replies(serve, world, demonstrate):
    task_id = world.ids("seen", 1, ["silent"])[0]
    shown = demonstrate(task_id)
    server = serve(*(step.text for step in shown.steps))
    request = RolloutRequest(world.draw(task_id).task)
    [got] = run(server, [request], protocol=Protocol.TRIAL)
    assert (got.error, got.success) == (None, True)
    assert [step.text for step in got.steps] == [step.text for step in shown.steps]
    assert [step.token_ids for step in got.steps] == [[]] * len(got.steps)
    assert (got.prompt_tokens, got.completion_tokens) == (70, 9 * len(got.steps))

    path, headers, first = server.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (first["model"], first["temperature"], first["max_tokens"]) == ("m", 0.0, 50)
    assert [m["role"] for m in first["messages"]] == ["system", "user"]
    for tool in got.tools:
        assert json.dumps(tool["function"], ensure_ascii=False) in first["messages"][0]["content"]
    last = server.requests[-1][2]["messages"]
    assert last[2] == {"role": "assistant", "content": shown.steps[0].text}
    observation = f"<tool_response>{shown.steps[0].observation}</tool_response>"
    assert last[3] == {"role": "user", "content": observation}
    assert len(last) == 2 + 2 * (len(shown.steps) - 1)


def test_a_rate_limit_is_waited_for(serve, task):
    server = serve((429, {"error": {"message": "slow down"}}, {"retry-after-ms": "1"}), ANSWER)
    [got] = run(server, [RolloutRequest(task)], retries=1)
    assert (got.error, got.answer, len(server.requests)) == (None, "4", 2)


def test_a_rate_limit_without_a_wait(serve, task):
    server = serve((429, {"error": {"message": "slow down"}}, {"retry-after": "0"}), ANSWER)
    [got] = run(server, [RolloutRequest(task)], retries=1)
    assert (got.error, got.answer) == (None, "4")


def test_failures_are_recorded_and_the_others_go_on(serve, task):
    broken = (500, {"error": {"message": "out of order"}}, {})
    server = serve(broken, ANSWER, broken, ANSWER)
    got = run(server, groups([task], 4))
    assert [t.stop_reason for t in got] == [
        StopReason.POLICY_ERROR,
        StopReason.ANSWERED,
        StopReason.POLICY_ERROR,
        StopReason.ANSWERED,
    ]
    assert got[0].error.startswith("InternalServerError: ")
    assert "out of order" in got[0].error


def test_retries_are_counted(serve, task):
    again = (503, {"error": {"message": "busy"}}, {"retry-after-ms": "1"})
    server = serve(again, again, again, ANSWER)
    [got] = run(server, [RolloutRequest(task)], retries=2)
    assert got.stop_reason is StopReason.POLICY_ERROR
    assert len(server.requests) == 3


@pytest.mark.parametrize("reply", [(200, completion(), {}), (200, "<html>hello</html>", {})])
def test_an_answer_without_a_choice(serve, task, reply):
    [got] = run(serve(reply), [RolloutRequest(task)])
    assert got.stop_reason is StopReason.POLICY_ERROR
    assert got.error == "the endpoint answered without a choice"


def test_an_answer_that_is_not_json(serve, task):
    reply = (200, "{oops", {"content-type": "application/json"})
    [got] = run(serve(reply), [RolloutRequest(task)])
    assert got.stop_reason is StopReason.POLICY_ERROR


def test_no_content_is_an_empty_turn(serve, task):
    server = serve((200, completion(None), {}), ANSWER)
    [got] = run(server, [RolloutRequest(task)])
    assert [step.text for step in got.steps] == ["", ANSWER]
    assert got.stop_reason is StopReason.ANSWERED


def test_a_context_that_is_too_long(serve, task):
    message = "This model's maximum context length is 4096 tokens."
    reply = (400, {"error": {"message": message, "code": "context_length_exceeded"}}, {})
    [got] = run(serve(reply), [RolloutRequest(task)])
    assert (got.stop_reason, got.error) == (StopReason.MAX_TOKENS, None)


def test_a_refused_request(serve, task):
    [got] = run(serve((400, {"error": {"message": "no such model"}}, {})), [RolloutRequest(task)])
    assert got.stop_reason is StopReason.POLICY_ERROR
    assert got.error.startswith("the endpoint refused the request: ")
    assert "no such model" in got.error


@pytest.mark.parametrize("status", [400, 401])
def test_the_key_is_never_kept(serve, task, status):
    echo = (status, {"error": {"message": f"wrong key {KEY}"}}, {})
    got = run(serve(ANSWER, echo), groups([task], 2))
    assert "wrong key [key]" in got[1].error
    assert all(KEY not in t.model_dump_json() for t in got)


def test_a_server_that_is_not_there(serve, task):
    server = serve()
    server.server_close()
    [got] = run(server, [RolloutRequest(task)])
    assert got.stop_reason is StopReason.POLICY_ERROR
    assert got.error.startswith("APIConnectionError: ")


def test_no_key_and_no_server(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(PolicyError, match=r"no key for model 'm': set OPENAI_API_KEY, or give"):
        OpenAIPolicy("m", Sampling())


@pytest.mark.parametrize("named", ["argument", "environment"])
def test_a_server_that_needs_no_key(monkeypatch, serve, task, named):
    server = serve(ANSWER)
    monkeypatch.delenv("OPENAI_API_KEY")
    if named == "environment":
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)

    async def go():
        policy = OpenAIPolicy(
            "m", Sampling(), base_url=server.url if named == "argument" else None, retries=0
        )
        try:
            return await run_rollout(RolloutRequest(task), policy, Protocol.DIRECT, Limits())
        finally:
            await policy.close()

    assert asyncio.run(go()).answer == "4"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (ANSWER + "\n<tool_response>5</tool_response>", ANSWER),
        (ANSWER, ANSWER),
        ("<think>no block", "<think>no block"),
        ("<think>say </answer></think><answer>4</answer>x", "<think>say </answer></think>"
         "<answer>4</answer>"),
        ("<tool_call>{}</tool_call><answer>4</answer>", "<tool_call>{}</tool_call>"),
        ("<experience>e</experience><tool_call>", "<experience>e</experience>"),
    ],
)  # fmt: skip
def test_what_follows_a_closing_tag_is_dropped(serve, task, written, kept):
    server = serve(written, ANSWER, ANSWER, ANSWER)
    [got] = run(server, [RolloutRequest(task)])
    assert got.steps[0].text == kept
