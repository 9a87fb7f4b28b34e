"""A real HTTP service with real state: notes that can be listed, read, written and deleted."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOTE = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
_BODY = {"required": True, "content": {"application/json": {"schema": NOTE}}}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}


def _operation(name, *parameters, **more):
    answers = {"200": {"description": "fine"}}
    return {"operationId": name, "parameters": list(parameters), "responses": answers, **more}


DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "Notes", "version": "1"},
    "paths": {
        "/notes": {"get": _operation("list_notes"), "delete": _operation("clear_notes")},
        "/notes/{name}": {
            "get": _operation("get_note", _NAME),
            "put": _operation("put_note", _NAME, requestBody=_BODY),
            "post": _operation("append_note", _NAME, requestBody=_BODY),
            "delete": _operation("delete_note", _NAME),
        },
    },
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together
    disable_nagle_algorithm = True

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.methods.append(self.command)
        _, top, *rest = self.path.split("/")
        if top == "openapi.json":
            return self.reply(200, DOCUMENT)
        with self.server.lock:
            return self.reply(*self.change(rest[0] if rest else None, body))

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def change(self, name, body):
        state = self.server.state
        if self.command in ("PUT", "POST"):
            before = state.get(name, "") if self.command == "POST" else ""
            state[name] = before + json.loads(body)["text"]
        elif self.command == "DELETE" and name is None:
            state.clear()
        elif name is not None and name not in state:
            return 404, {"error": f"no note {name!r}"}
        elif self.command == "DELETE":
            del state[name]
            return 200, {"deleted": name}
        return 200, sorted(state) if name is None else {"text": state[name]}

    def reply(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class NotesServer(ThreadingHTTPServer):
    """The service on a free port of this machine; `state` holds the notes, `methods` the calls."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = {"plum": "a tart", "rye": "a loaf"}
        self.methods = []
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
