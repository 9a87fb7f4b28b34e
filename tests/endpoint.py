"""A real HTTP server that speaks /v1/chat/completions, with scripted turns behind it."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HANG = object()
"""A turn that is never written: the request is held until the server is closed."""


class Endpoint:
    """Turns by query: turn i is the answer to a request with i assistant messages."""

    def __init__(self, scripts):
        self.scripts = scripts
        self.requests = []
        self.closing = threading.Event()
        self.url = ""

    def answer(self, body):
        self.requests.append(body)
        messages = body["messages"]
        asked = next(m["content"] for m in messages if m["role"] == "user")
        query = asked.partition("\n")[0]  # what is known of the tools stands below it
        turn = self.scripts[query][sum(m["role"] == "assistant" for m in messages)]
        if turn is HANG:
            self.closing.wait()
            return None
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": turn},
                }
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }


@contextmanager
def serving(scripts):
    """Serve on a free port of this machine."""
    endpoint = Endpoint(scripts)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path == "/v1/chat/completions" and body["model"] == "scripted"
            answer = endpoint.answer(body) if known else {"error": {"message": "no such model"}}
            if answer is None:
                self.close_connection = True
                return
            data = json.dumps(answer).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield endpoint
    finally:
        endpoint.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
