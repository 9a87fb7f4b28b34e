"""A fake OpenAI-compatible endpoint over real HTTP."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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


def completion(model, text, read, written):
    """A whole answer with this text and these counts of tokens."""
    message = {"role": "assistant", "content": text}
    usage = {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": model,
            "choices": [choice], "usage": usage}  # fmt: skip


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
        read = tokens(*(m["content"] for m in body["messages"]))
        return 200, completion(self.version, reply, read, tokens(reply))

    @contextmanager
    def serve(self):
        with http_server(self) as address:
            yield f"{address}/v1"


def in_turn(*replies):
    """A reply function that gives these one after the other, the last for ever."""
    left = list(replies)
    return lambda _messages: left.pop(0) if len(left) > 1 else left[0]


def tokens(*texts):
    """How many tokens the fake model counts: words."""
    return sum(len(text.split()) for text in texts)
