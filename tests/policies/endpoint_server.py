"""A real OpenAI-compatible server on this machine that does what it is told, request by request."""

import gzip
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 70, "completion_tokens": 9, "total_tokens": 79}


@dataclass
class Status:
    """An HTTP status with a body: an error, a page."""

    status: int
    body: Any
    headers: dict = field(default_factory=dict)


class HangUp:
    """Close the connection without a word."""


class Hang:
    """Never answer."""


def refuse(status, message, code=None, **headers):
    error = {"message": message, "type": "error", "code": code}
    return Status(status, {"error": error}, {k.replace("_", "-"): v for k, v in headers.items()})


def call(name, arguments, call_id="c1"):
    arguments = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def completion(text=None, finish="stop", **message):
    """A whole answer with one message."""
    message = {"role": "assistant", "content": text, **message}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice],
            "usage": USAGE}  # fmt: skip


class Endpoint(ThreadingHTTPServer):
    """Answers from a list of replies, or from a function of the request's body."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, replies):
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies = replies[0] if callable(replies[0] if replies else None) else list(replies)
        self.requests = []
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def bodies(self):
        return [body for _, _, body in self.requests]

    def handle_error(self, request, client_address):
        """A client that hangs up is no error here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers), body))
            replies = self.server.replies
            reply = replies(body) if callable(replies) else replies.pop(0)
        if isinstance(reply, str):
            reply = completion(reply)
        with suppress(ConnectionError):
            self.give(reply)

    def give(self, reply):
        if isinstance(reply, Hang):
            self.server.over.wait()
        if isinstance(reply, (Hang, HangUp)):
            self.close_connection = True
        else:
            self.give_status(reply if isinstance(reply, Status) else Status(200, reply))

    def give_status(self, reply):
        text = isinstance(reply.body, str)
        data = reply.body.encode() if text else json.dumps(reply.body).encode()
        for _ in range(reply.headers.get("content-encoding", "").count("gzip")):
            data = gzip.compress(data)
        self.send_response(reply.status)
        kind = "text/plain" if text else "application/json"
        for name, value in {"content-type": kind, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass
