"""Running benchmarks on services in tests: a fake endpoint over real HTTP, and replays."""

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import isawaitable

from toolmaster.benchmarks import find_benchmark
from toolmaster.benchmarks.base import Source
from toolmaster.benchmarks.replay import gold_replays, policies
from toolmaster.config import load_config
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts


@contextmanager
def http_server(answer):
    """A server whose POST requests `answer(path, body)` answers with (status, JSON)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])) or "null")
            status, content = answer(self.path, body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class FakeModel:
    """An OpenAI-compatible endpoint: `reply(messages)` gives the text, or (status, JSON)."""

    def __init__(self, reply, version="m-2024-05-13"):
        self.reply, self.version = reply, version
        self.asked = []
        self._lock = threading.Lock()

    def __call__(self, path, body):
        assert path == "/v1/chat/completions"
        with self._lock:
            self.asked.append(body["messages"])
            reply = self.reply(body["messages"])
        if not isinstance(reply, str):
            return reply
        message = {"role": "assistant", "content": reply}
        return 200, {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": self.version,
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        }

    @contextmanager
    def serve(self):
        with http_server(self) as address:
            yield f"{address}/v1"


def in_turn(*replies):
    """A reply function that gives these one after the other, the last for ever."""
    left = list(replies)
    return lambda _messages: left.pop(0) if len(left) > 1 else left[0]


def run_replays(name, path, folder, replays=gold_replays, protocol=Protocol.TRIAL, **options):
    """Replay calls on a benchmark's file; returns (case, trajectory, values) and the facts."""
    benchmark = find_benchmark(name)
    chosen = [f"{key}={json.dumps(value, default=str)}" for key, value in options.items()]

    async def work():
        source = Source(path, load_config(benchmark.options, None, chosen), folder)
        async with benchmark.open_suite(source) as suite:
            acting = policies(suite.cases, replays(suite.cases), protocol)
            cases = [case for case in suite.cases if case.task.id in acting]
            trajectories = await run_rollouts(
                [RolloutRequest(case.task, policy=acting[case.task.id]) for case in cases],
                ScriptedPolicy(()),
                protocol,
                benchmark.limits,
            )
            found = []
            for case, trajectory in zip(cases, trajectories, strict=True):
                values = case.measure(trajectory)
                found.append((case, trajectory, await values if isawaitable(values) else values))
        return found, dict(suite.facts)

    return asyncio.run(work())
