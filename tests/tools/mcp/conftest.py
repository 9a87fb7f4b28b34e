"""Our own tiny server to test against, and that no server outlasts its test."""

import sys
from pathlib import Path

import pytest

from toolmaster.tools.mcp import McpServer

TINY = str(Path(__file__).with_name("tiny_server.py"))


@pytest.fixture(autouse=True)
def no_process_is_left():
    """A function that asserts it, called at the end of each test and earlier where that matters."""
    before = _children()

    def check():
        assert _children() <= before

    yield check
    check()


def _children():
    """Ids of this process's children, where the system tells."""
    return {
        pid
        for file in Path("/proc/self/task").glob("*/children")
        for pid in file.read_text().split()
    }


@pytest.fixture
def tiny():
    """A function: the tiny server over stdio, with more settings."""
    return lambda **settings: McpServer(command=sys.executable, args=(TINY, "stdio"), **settings)
