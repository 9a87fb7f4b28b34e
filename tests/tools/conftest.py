"""MCP servers from npm, installed once into the cache folder, and a service with notes."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from notes_service import NotesServer

from toolmaster.tools.mcp import McpServer

NPM_PACKAGES = [
    "@modelcontextprotocol/server-filesystem@2026.8.31",
    "@modelcontextprotocol/server-memory@2026.8.31",
    "@modelcontextprotocol/server-everything@2026.8.31",
]


@pytest.fixture
def notes():
    """A running HTTP service that keeps notes and describes itself."""
    with NotesServer() as server:
        yield server


@pytest.fixture(scope="session")
def npm():
    """A function: a server from npm by its program's name."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("Node.js is not installed")
    cache = Path(os.environ.get("TOOLMASTER_CACHE") or Path.home() / ".cache" / "toolmaster")
    folder = cache / "test-mcp-npm"
    wanted = json.dumps(NPM_PACKAGES)
    marker = folder / "packages.json"
    if not marker.exists() or marker.read_text() != wanted:
        _npm_install(folder)
        marker.write_text(wanted)

    def server(program, *args, **settings):
        return McpServer(
            command=str(folder / "node_modules" / ".bin" / program), args=args, **settings
        )

    return server


def _npm_install(folder):
    """Install beside and move there, so that a half-done installation is never used."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as new:
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", new, *NPM_PACKAGES]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"npm cannot install the servers: {done.stderr.strip()[-200:]}")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(new, folder, symlinks=True)
