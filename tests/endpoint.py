"""A real HTTP server that speaks /v1/chat/completions, with scripted turns behind it."""

import threading
from contextlib import contextmanager

from fake_endpoint import completion, http_server

HANG = object()
"""A turn that is never written: the request is held until the server is closed."""


class Endpoint:
    """Turns by query: turn i is the answer to a request with i assistant messages."""

    def __init__(self, scripts):
        self.scripts = scripts
        self.requests = []
        self.closing = threading.Event()
        self.url = ""

    def answer(self, path, body):
        if (path, body["model"]) != ("/v1/chat/completions", "scripted"):
            return 404, {"error": {"message": "no such model"}}
        self.requests.append(body)
        messages = body["messages"]
        asked = next(m["content"] for m in messages if m["role"] == "user")
        query = asked.partition("\n")[0]  # what is known of the tools stands below it
        turn = self.scripts[query][sum(m["role"] == "assistant" for m in messages)]
        if turn is HANG:
            self.closing.wait()
        return 200, completion(body["model"], "" if turn is HANG else turn, 100, 10)


@contextmanager
def serving(scripts):
    """Serve on a free port of this machine."""
    endpoint = Endpoint(scripts)
    with http_server(endpoint.answer) as address:
        endpoint.url = f"{address}/v1"
        try:
            yield endpoint
        finally:
            endpoint.closing.set()
