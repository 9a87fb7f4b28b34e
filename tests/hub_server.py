"""A small Hub on the loopback: the addresses that `huggingface_hub` asks to download a model."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub(ThreadingHTTPServer):
    """Serves repositories; `models` maps an id to {revision: {file: bytes}} or what is wrong."""

    def __init__(self, models):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models = models
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


def commit(model, revision):
    """The commit a revision stands for; 40 digits are a commit."""
    if len(revision) == 40:
        return revision
    return hashlib.sha1(f"{model}@{revision}".encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path))
        for model, revisions in self.server.models.items():
            if revisions == "broken" and model in path:
                self.close_connection = True  # without an answer
                return None
            if revisions == "gated" and model in path:
                return self._refuse(403, "GatedRepo", "the terms were not accepted")
            if isinstance(revisions, str):
                continue
            by_commit = {commit(model, name): files for name, files in revisions.items()}
            if path.startswith(f"/api/models/{model}/revision/"):
                name = path.rpartition("/revision/")[2]
                if name not in revisions:
                    return self._refuse(404, "RevisionNotFound", "no such revision")
                return self._json({"id": model, "sha": commit(model, name), "siblings": []})
            if path.startswith(f"/api/models/{model}/tree/"):
                return self._tree(by_commit[path.rpartition("/")[2]])
            if path.startswith(f"/{model}/resolve/"):
                sha, _, file = path.removeprefix(f"/{model}/resolve/").partition("/")
                return self._file(sha, by_commit[sha][file])
        return self._refuse(401, "RepoNotFound", "Invalid username or password.")

    def _tree(self, files):
        return self._json(
            [
                {"type": "file", "path": name, "size": len(data), "oid": _etag(data)}
                for name, data in files.items()
            ]
        )

    def _file(self, sha, data):
        self.send_response(200)
        self.send_header("ETag", f'"{_etag(data)}"')
        self.send_header("X-Repo-Commit", sha)
        self._body(data)

    def _json(self, value):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self._body(json.dumps(value).encode())

    def _refuse(self, status, code, message):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self._body(json.dumps({"error": message}).encode())

    def _body(self, data):
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *args):
        pass


def _etag(data):
    return hashlib.sha1(data).hexdigest()


@contextmanager
def hub(models):
    """A running Hub."""
    server = Hub(models)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
