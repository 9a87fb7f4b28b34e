"""The invariant: whatever a trial calls, the real state is the same before and after.

Each test plays over a thousand random trial calls, valid writes and deletes among them, through
sessions; then one call in execution changes the state, so that the tools are known to be real.
"""

import asyncio
import json
import os
import random
from collections import Counter

import pytest
from turns import EXPERIENCE, call, play

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools.sources import open_sources
from toolmaster.types import Effect, ErrorKind

SESSIONS, CALLS = 26, 40
LIMITS = Limits(max_turns=CALLS + 10, trial_calls=CALLS)
SHELF = '''
from pathlib import Path

EFFECTS = {"count": "read", "lend": "write", "rename": "write", "burn": "destructive",
           "export": "write"}


class Shelf:
    def __init__(self):
        self.books = {"Emma": {"copies": 3, "notes": ["old"]}, "Ulysses": {"copies": 1}}
        self.lent = []

    def count(self, title: str) -> int:
        """Copies of a book."""
        return self.books[title]["copies"]

    def lend(self, title: str, copies: int = 1) -> int:
        """Lend copies; returns how many are left."""
        self.books[title]["copies"] -= copies
        self.lent.append(title)
        return self.books[title]["copies"]

    def rename(self, title: str, new: str) -> str:
        """Give a book another title."""
        self.books[new] = self.books.pop(title)
        return new

    def burn(self, title: str) -> None:
        """Remove a book for good."""
        del self.books[title]

    def export(self, title: str) -> str:
        """Write a book's data to a file."""
        Path(__file__).with_name("export.json").write_text(str(self.books[title]))
        return "exported"

    def erase_export(self) -> None:
        """Remove the file again."""
        Path(__file__).with_name("export.json").unlink()
'''


def random_call(rng, tools, values):
    """A call of any tool; now and then one whose arguments break the schema."""
    tool = rng.choice(tools.tools)
    known = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", ())
    arguments = {
        key: rng.choice(values[key]) for key in known if key in required or rng.random() < 0.3
    }
    if rng.random() < 0.05:
        arguments["surprise"] = rng.choice([None, 3, "x" * 50])
    return call(tool.name, **arguments)


async def try_at_random(tools, values, seed=7):
    """Play the trials of many sessions; returns the steps by error and effect, and the steps."""
    rng = random.Random(seed)
    steps = []
    for index in range(SESSIONS):
        session = Session(Task(f"t/{index}", "q", lambda: tools), Protocol.TRIAL, LIMITS)
        turns = [random_call(rng, tools, values) for _ in range(CALLS)]
        steps += await play(session, *turns)
    assert len(steps) >= 1000
    return Counter((step.error, tools[step.call.name].effect) for step in steps), steps


async def execute(tools, turn):
    session = Session(Task("t", "q", lambda: tools), Protocol.TRIAL, LIMITS)
    [_, step] = await play(session, EXPERIENCE, turn)
    assert step.error is None, step.observation
    return step


async def kept(tools):
    """The real object's attributes, in the host."""
    return await tools.state[0].apply("builtins:vars", [0])


def files(folder):
    """Every path below a folder with its content, mode and time of change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stat = path.stat()
        content = path.read_bytes() if path.is_file() else sorted(os.listdir(path))
        found[str(path)] = (content, stat.st_mode, stat.st_mtime_ns)
    return found


def test_a_python_object(tmp_path):
    module = tmp_path / "library.py"
    module.write_text(SHELF)
    values = {
        "title": ["Emma", "Ulysses", "Dune"],
        "new": ["Emma", "Dune"],
        "copies": [1, 2, -5, "many"],
    }

    async def run():
        async with open_sources([f"{module}:Shelf"]) as tools:
            export = tmp_path / "export.json"
            export.write_text("before")
            before = await kept(tools), files(tmp_path)
            found, steps = await try_at_random(tools, values)
            assert (await kept(tools), files(tmp_path)) == before
            await execute(tools, call("lend", title="Emma"))
            assert (await kept(tools))["books"]["Emma"]["copies"] == 2
            await execute(tools, call("export", title="Emma"))
            assert export.read_text() != "before"
            return found, steps

    found, steps = asyncio.run(run())
    assert found[None, Effect.WRITE] > 40  # run, on copies
    assert found[None, Effect.DESTRUCTIVE] > 20
    refused = {step.call.name for step in steps if step.error is ErrorKind.NOT_EXECUTED}
    assert refused == {"export", "erase_export"}


def test_the_filesystem_server(npm, tmp_path):
    folder = tmp_path / "files"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("plum\nrye\n")
    (folder / "sub" / "b.txt").write_text("tart")
    server = npm("mcp-server-filesystem", str(folder))
    config = tmp_path / "mcp.json"
    entry = {"command": server.command, "args": list(server.args)}
    config.write_text(json.dumps({"mcpServers": {"files": entry}}))
    names = ["a.txt", "sub/b.txt", "sub", "new.txt", "../mcp.json"]
    paths = [str(folder / name) for name in names]
    edit = {"oldText": "plum", "newText": "pear"}
    values = {
        **dict.fromkeys(["path", "source", "destination"], paths),
        "content": ["x", ""],
        "edits": [[edit]],
        "dryRun": [False],
        "paths": [paths[:2]],
        "pattern": ["*.txt"],
        "excludePatterns": [[]],
        "sortBy": ["name"],
        "head": [1],
        "tail": [1],
    }

    async def run():
        async with open_sources([str(config)]) as tools:
            before = files(tmp_path)
            found, _ = await try_at_random(tools, values)
            assert files(tmp_path) == before
            await execute(tools, call("edit_file", path=paths[0], edits=[edit]))
            assert (folder / "a.txt").read_text() == "pear\nrye\n"
            return found

    found = asyncio.run(run())
    assert found[None, Effect.READ] > 100  # run, for real
    assert found[ErrorKind.NOT_EXECUTED, Effect.DESTRUCTIVE] > 50
    assert not {effect for error, effect in found if error is None} - {Effect.READ}


def test_an_http_service(notes):
    values = {"name": ["plum", "rye", "new"], "body": [{"text": "x"}, {"text": ""}, {"word": 1}]}

    async def run():
        async with open_sources([notes.url]) as tools:
            before = dict(notes.state)
            found, _ = await try_at_random(tools, values)
            assert notes.state == before
            assert set(notes.methods) == {"GET"}
            await execute(tools, call("delete_note", name="plum"))
            assert notes.state == {"rye": "a loaf"}
            return found

    found = asyncio.run(run())
    assert found[None, Effect.READ] > 100
    assert found[ErrorKind.NOT_EXECUTED, Effect.DESTRUCTIVE] > 100  # a PUT is one


@pytest.mark.parametrize("trials", ["fork", "read_only"])
def test_all_of_them_in_one_session(notes, tmp_path, trials):
    module = tmp_path / "library.py"
    module.write_text(SHELF)
    specs = [f"{module}:Shelf trials={trials}", notes.url]
    values = {
        "title": ["Emma", "Ulysses"],
        "new": ["Dune"],
        "copies": [1],
        "name": ["plum", "new"],
        "body": [{"text": "x"}],
    }

    async def run():
        async with open_sources(specs) as tools:
            before = await kept(tools), dict(notes.state), files(tmp_path)
            found, _ = await try_at_random(tools, values)
            assert (await kept(tools), notes.state, files(tmp_path)) == before
            return found

    found = asyncio.run(run())
    assert (found[None, Effect.WRITE] > 0) is (trials == "fork")
    assert found[ErrorKind.NOT_EXECUTED, Effect.DESTRUCTIVE] > 50
