"""Documents written in place, and a real HTTP server that misbehaves on request."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest

from toolmaster.tools.openapi import load_document


@pytest.fixture
def load(tmp_path):
    """A function: a document's content, written to a file and loaded."""

    def run(content):
        path = tmp_path / "api.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return load_document(path)

    return run


@pytest.fixture
def load_paths(load):
    """A function: a 3.0 document (or another version) with these paths, loaded."""

    def run(paths, version="3.0.3", **more):
        key = "swagger" if version == "2.0" else "openapi"
        return load({key: version, "info": {"title": "t", "version": "1"}, "paths": paths, **more})

    return run


@pytest.fixture
def arguments(load_paths):
    """A function: the arguments' schema of one GET operation with these parameters."""

    def run(*parameters, version="3.0.3", **more):
        document = load_paths({"/a": {"get": {"parameters": parameters}}}, version, **more)
        return document.operations[0].schema

    return run


class _Handler(BaseHTTPRequestHandler):
    """Echoes requests; some paths answer in their own way (see `answers`)."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        seen = {
            "method": self.command,
            "path": urlsplit(self.path).path,
            "query": parse_qsl(urlsplit(self.path).query, keep_blank_values=True),
            "target": self.path,
            "headers": {key.lower(): value for key, value in self.headers.items()},
            "body": body.decode("utf-8", "replace"),
        }
        self.server.seen.append(seen)
        respond = self.server.answers.get(seen["path"])
        if respond is None:
            self.reply(200, {"Content-Type": "application/json"}, json.dumps(seen).encode())
        else:
            respond(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815

    def reply(self, status, headers, body=b""):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen = []
        self.answers = {}
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that hangs up early is expected here."""


@pytest.fixture
def make_server():
    """A function: another HTTP server on a free port of this machine."""
    servers = []

    def run():
        server = _Server()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield run
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(make_server):
    """An HTTP server on a free port of this machine."""
    return make_server()
