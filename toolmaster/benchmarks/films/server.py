"""The film service behind HTTP: as an httpx transport in this process, or as a real server.

python -m toolmaster.benchmarks.films --port 8080
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import httpx

from toolmaster.benchmarks.films.service import FilmService
from toolmaster.errors import InputError

BASE = "/3"
"""Where the document's server has its paths."""


def transport(service: FilmService) -> httpx.MockTransport:
    """The service without a network, for `httpx.Client` and `httpx.AsyncClient` alike."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            return httpx.Response(405, json={"status_message": "only GET is served"})
        query = dict(parse_qsl(request.url.query.decode("ascii", "replace")))
        status, body = service.get(request.url.path.removeprefix(BASE), query)
        return httpx.Response(status, json=body)

    return httpx.MockTransport(respond)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    service: FilmService


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every answer waits 40 ms for the client's acknowledgement
    server: _Server

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query))
        status, body = self.server.service.get(address.path.removeprefix(BASE), query)
        data = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json;charset=utf-8")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing; callers see what they asked for."""


def make_server(service: FilmService, port: int = 0) -> ThreadingHTTPServer:
    """A server on this machine's loopback address, ready for `serve_forever`.

    Args:
        service: what answers.
        port: 0 takes any that is free.

    Raises:
        InputError: the port is taken.
    """
    try:
        server = _Server(("127.0.0.1", port), _Handler)
    except OSError as error:
        raise InputError(
            f"cannot listen on port {port}: {error.strerror}; give another --port"
        ) from None
    server.service = service
    return server


@contextmanager
def serve(service: FilmService, port: int = 0) -> Iterator[str]:
    """Serve while the context is open.

    Yields:
        The base address, such as `http://127.0.0.1:41251/3`.
    """
    server = make_server(service, port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{BASE}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
