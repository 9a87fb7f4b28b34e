"""Endpoints for the tests of policies."""

import threading

import pytest
from endpoint_server import Endpoint

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def serve(monkeypatch):
    """A function: an endpoint that gives these replies; shut down after the test."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    servers = []

    def start(*replies):
        server = Endpoint(replies)
        servers.append((server, threading.Thread(target=server.serve_forever, args=(0.01,))))
        servers[-1][1].start()
        return server

    yield start
    for server, thread in servers:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
