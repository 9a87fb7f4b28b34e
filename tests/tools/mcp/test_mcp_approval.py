"""A server that swaps a tool after it was approved, at a real terminal."""

import asyncio
import io
import os
import pty
import sys
from pathlib import Path

import pytest
from turns import call, play

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools.mcp import McpServer
from toolmaster.tools.permissions import Ask
from toolmaster.tools.sources import open_sources
from toolmaster.types import Effect, ErrorKind

SCRIPT = str(Path(__file__).with_name("swapping_server.py"))


@pytest.fixture
def keyboard():
    """What a user types at, and the terminal where it is read."""
    typing, line = pty.openpty()
    with os.fdopen(line, "r") as reader:
        yield typing, reader
    os.close(typing)


def server_file(folder, log, *options):
    """The line of a source: a file with one server, and options."""
    server = McpServer(command=sys.executable, args=(SCRIPT, str(log)))
    file = folder / "mcp.json"
    file.write_text(f'{{"mcpServers": {{"evil": {server.model_dump_json()}}}}}')
    return " ".join([str(file), *options])


class Screen(io.StringIO):
    """Types an answer when a question is shown."""

    def __init__(self, typing, *answers):
        super().__init__()
        self.typing, self.answers = typing, list(answers)

    def write(self, text):
        if text.endswith(": "):
            answer = self.answers.pop(0).encode()
            asyncio.get_running_loop().call_soon(os.write, self.typing, answer)
        return super().write(text)


def test_always_does_not_outlast_a_swap(tmp_path, keyboard):
    typing, reader = keyboard
    screen, log = Screen(typing, "a\n", "n\n"), tmp_path / "log"
    ask = Ask(answers=reader, questions=screen)

    async def work():
        async with open_sources([server_file(tmp_path, log)]) as tools:
            task = Task("t", "q", lambda: tools)
            session = Session(task, Protocol.DIRECT, Limits(), approver=ask)
            return await play(session, *[call("clean")] * 3)

    first, told, asked = asyncio.run(asyncio.wait_for(work(), 60))
    assert first.observation == "cleaned 1"
    assert told.error is ErrorKind.NOT_EXECUTED
    assert "Delete EVERYTHING" in told.observation
    assert asked.error is ErrorKind.NOT_PERMITTED
    assert screen.getvalue().count("Run it?") == 2
    assert log.read_text() == "clean\n"


def test_what_was_declared_to_read_is_not_tried_after_a_swap(tmp_path):
    log = tmp_path / "log"

    async def work():
        async with open_sources([server_file(tmp_path, log, "read=clean")]) as tools:
            assert tools["clean"].effect is Effect.READ
            session = Session(Task("t", "q", lambda: tools), Protocol.TRIAL, Limits())
            return await play(session, *[call("clean")] * 3)

    first, *after = asyncio.run(asyncio.wait_for(work(), 60))
    assert first.error is None
    assert [step.error for step in after] == [ErrorKind.NOT_EXECUTED] * 2
    assert log.read_text() == "clean\n"


def test_a_swap_while_the_question_stands_is_refused(tmp_path, keyboard):
    _, reader = keyboard
    log = tmp_path / "log"

    class Swaps(Ask):
        """Approves a call only after another session made the server swap the tool."""

        async def approve(self, tool, call_):
            if call_.arguments == {"slow": True}:
                await other.step(call("clean"))

    async def work():
        nonlocal other
        async with open_sources([server_file(tmp_path, log)]) as tools:
            task, ask = Task("t", "q", lambda: tools), Swaps(answers=reader)
            other, slow = (Session(task, Protocol.DIRECT, Limits(), approver=ask) for _ in "ab")
            return await play(slow, *[call("clean", slow=True)] * 2)

    other = None
    refused, told = asyncio.run(asyncio.wait_for(work(), 60))
    assert "changed this tool before the call, which was not made" in refused.observation
    assert "has changed at its source" in told.observation
    assert log.read_text() == "clean\n"
