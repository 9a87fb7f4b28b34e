"""A mock OpenAI-compatible endpoint that costs next to nothing: what a client adds is then seen.

    python benchmarks/mock_endpoint.py [--latency-s 1.0] [--turns 6]

It prints its port, then answers every chat completion after the latency: with a call of the first
tool offered until the conversation holds `turns - 1` assistant messages, then with a final text.
Streams where it is asked to.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def answer(body: dict[str, Any], turns: int) -> dict[str, Any]:
    """The assistant message."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    if turn >= turns - 1:
        return {"role": "assistant", "content": "42"}
    call = {"name": body["tools"][0]["function"]["name"], "arguments": f'{{"number": {turn}}}'}
    return {
        "role": "assistant",
        "content": "Next.",
        "tool_calls": [{"index": 0, "id": f"call_{turn}", "type": "function", "function": call}],
    }


def reply(body: dict[str, Any], turns: int) -> tuple[str, bytes]:
    """Content type and body of the answer."""
    message = answer(body, turns)
    finish = "tool_calls" if "tool_calls" in message else "stop"
    head = {"id": "1", "created": 0, "model": body["model"]}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": finish}
        whole = {**head, "object": "chat.completion", "choices": [choice], "usage": USAGE}
        return "application/json", json.dumps(whole).encode()
    first = {"index": 0, "delta": message, "finish_reason": None}
    last = {"index": 0, "delta": {}, "finish_reason": finish}
    head["object"] = "chat.completion.chunk"
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [first]},
        {**head, "choices": [last]},
        {**head, "choices": [], "usage": USAGE},
    ]
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode()


class Connection(asyncio.Protocol):
    """One connection of HTTP/1.1, one request after the other."""

    def __init__(self, latency_s: float, turns: int) -> None:
        self.latency_s, self.turns, self.received = latency_s, turns, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer, later, each request that is complete."""
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.received[:end]).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if len(self.received) < end + 4 + length:
            return
        body = json.loads(self.received[end + 4 : end + 4 + length])
        self.received.clear()
        asyncio.get_running_loop().call_later(self.latency_s, self.write, body)

    def write(self, body: dict[str, Any]) -> None:
        """Send the answer."""
        kind, data = reply(body, self.turns)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n"
        self.transport.write(head.encode() + data)  # type: ignore[attr-defined]


async def serve(latency_s: float, turns: int) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(latency_s, turns), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-s", type=float, default=1.0)
    parser.add_argument("--turns", type=int, default=6)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.latency_s, arguments.turns))
